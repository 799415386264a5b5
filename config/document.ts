import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, parseDocument } from 'yaml';
import type { Document, Pair, ParsedNode } from 'yaml';
import type { Finding, Path } from './problem.ts';

/** A YAML text as plain data that remembers where each key and value stood. */
export interface SourceDocument {
  readonly data: unknown;
  /** Anchors, duplicate keys and the like: what YAML allows and a site file does not. */
  readonly findings: readonly (Finding & Place)[];
  /** false: the data is not what the text says, so that looking further would only mislead. */
  readonly whole: boolean;
  /** Of the nearest thing that exists on this path. */
  locate(path: Path, at?: 'key' | 'value'): Place;
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface SyntaxProblem extends Place {
  readonly message: string;
}

/** @throws never: what is wrong with the text is in `syntax`. */
export function readDocument(text: string): SourceDocument | { readonly syntax: readonly SyntaxProblem[] } {
  if (hasTooManyWords(text))
    return { syntax: [{ line: 1, column: 1, message: 'expected a site file, not so many keys and marks' }] };
  const lines = new LineCounter();
  const document = parse(text, lines);
  if (document === null) return { syntax: [{ line: 1, column: 1, message: 'nested too deeply' }] };
  const errors = [...document.errors, ...document.warnings].filter(({ code }) => code !== 'BAD_ALIAS');
  if (errors.length > 0)
    return {
      syntax: errors.map(({ pos, message }) => ({ ...placeOf(lines, pos[0]), message: inWords(message) })),
    };
  return new Reader(lines).read(document);
}

/** About twenty times the Vitam night. The parser takes minutes for a mebibyte of marks, the lexer stops at once. */
const MOST_TOKENS = 40_000;

function hasTooManyWords(text: string): boolean {
  let tokens = 0;
  for (const token of new Lexer().lex(text)) if (token.length > 0 && ++tokens > MOST_TOKENS) return true;
  return false;
}

function parse(text: string, lines: LineCounter): Document.Parsed | null {
  try {
    // Duplicate keys are found by the reader: the parser's own search is quadratic.
    return parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      stringKeys: true,
      version: '1.2',
    });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function inWords(message: string): string {
  return message.startsWith('Source contains multiple documents')
    ? 'expected one document, not several: a site file describes one site'
    : message;
}

function placeOf(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

interface Offsets {
  readonly key: number;
  readonly value: number;
}

class Reader {
  readonly #lines: LineCounter;
  readonly #findings: (Finding & Place)[] = [];
  /** Per map or list of the data: where its keys and values stand. */
  readonly #places = new Map<object, Map<string | number, Offsets>>();
  #whole = true;

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  read(document: Document.Parsed): SourceDocument {
    if (document.directives.yaml.explicit === true)
      this.#refuse([], 0, 'expected no %YAML directive: a site file is YAML 1.2', 'remove the line');
    const root = document.contents;
    const data = this.#value(root, []);
    const start = root?.range[0] ?? 0;
    return {
      data,
      findings: this.#findings,
      whole: this.#whole,
      locate: (path, at = 'value') => this.#locate(data, start, path, at),
    };
  }

  #value(node: ParsedNode | null, path: Path): unknown {
    if (node === null) return null;
    const start = node.range[0];
    if (isAlias(node)) {
      this.#whole = false;
      this.#refuse(
        path,
        start,
        `aliases (*${node.source}) are not used in a site file`,
        'write the value out',
      );
      return null;
    }
    if (node.anchor !== undefined)
      this.#refuse(path, start, `anchors (&${node.anchor}) are not used in a site file`, 'remove it');
    if (isMap(node)) return this.#map(node.items, path);
    if (isSeq(node)) return this.#list(node.items, path);
    return node.value;
  }

  #map(pairs: readonly Pair<ParsedNode, ParsedNode | null>[], path: Path): Record<string, unknown> {
    // Without a prototype a key may be called `__proto__`.
    const data = Object.create(null) as Record<string, unknown>;
    const places = new Map<string | number, Offsets>();
    this.#places.set(data, places);
    for (const { key: keyNode, value } of pairs) {
      const key = isScalar(keyNode) ? String(keyNode.value) : '';
      const here = [...path, key];
      const start = keyNode.range[0];
      if (isAlias(keyNode) || key === '<<') {
        this.#whole = false;
        this.#refuse(here, start, 'merge keys are not used in a site file', 'write the keys out');
      } else if (places.has(key)) {
        this.#refuse(here, start, `"${key}" is there twice`, 'keep one of the two');
      } else {
        places.set(key, { key: start, value: value?.range[0] ?? start });
        data[key] = this.#value(value, here);
      }
    }
    return data;
  }

  #list(items: readonly ParsedNode[], path: Path): readonly unknown[] {
    const data: unknown[] = [];
    const places = new Map<string | number, Offsets>();
    this.#places.set(data, places);
    items.forEach((item, index) => {
      places.set(index, { key: item.range[0], value: item.range[0] });
      data.push(this.#value(item, [...path, index]));
    });
    return data;
  }

  #refuse(path: Path, offset: number, message: string, hint: string): void {
    this.#findings.push({ path, message, hint, ...placeOf(this.#lines, offset) });
  }

  #locate(root: unknown, start: number, path: Path, at: 'key' | 'value'): Place {
    let here: Offsets = { key: start, value: start };
    let data = root;
    for (const part of path) {
      const next = typeof data === 'object' && data !== null ? this.#places.get(data)?.get(part) : undefined;
      if (next === undefined) return placeOf(this.#lines, here.key);
      here = next;
      data = (data as Record<string | number, unknown>)[part];
    }
    return placeOf(this.#lines, here[at]);
  }
}
