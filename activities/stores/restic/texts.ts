import { atMost } from '../../system/at-most.ts';

const mostCharacters = 32 * 1024 * 1024;
const texts = new Map<string, string>();
let characters = 0;
/** Each is a process of some 60 MB. */
const atATime = atMost(4);

/** By the id of a snapshot, whose content never changes: of all stores of this process. The oldest go first. */
export async function rememberedText(id: string, read: () => Promise<string>): Promise<string> {
  const known = texts.get(id);
  if (known !== undefined) return known;
  const text = await atATime(read);
  if (!texts.has(id)) characters += text.length;
  texts.set(id, text);
  for (const [oldest, { length }] of texts) {
    if (characters <= mostCharacters || oldest === id) break;
    texts.delete(oldest);
    characters -= length;
  }
  return text;
}
