/** null: it is no JSON; whoever asks has a schema that says what counts. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
