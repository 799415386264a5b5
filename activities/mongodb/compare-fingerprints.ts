import { isReplicated } from './fingerprint.ts';
import type { Plain } from './plain.ts';

/** What differs, collection by collection, in words; empty: the same content, definitions and accounts. */
export function compareFingerprints(expected: Plain, found: Plain): readonly string[] {
  const databases = [...new Set([...keysOf(expected['databases']), ...keysOf(found['databases'])])].sort();
  return [
    ...databases.flatMap((name) =>
      differences(
        `${name}.`,
        replicated(part(expected['databases'], name)),
        replicated(part(found['databases'], name)),
      ),
    ),
    ...differences('config.', expected['cluster'], found['cluster']),
    ...differences('admin.', expected['accounts'], found['accounts']),
  ];
}

/** Sets of earlier versions have what each member has of its own in them. */
function replicated(collections: unknown): Plain {
  return Object.fromEntries(
    keysOf(collections)
      .filter(isReplicated)
      .map((name) => [name, part(collections, name)]),
  );
}

function differences(prefix: string, expected: unknown, found: unknown): readonly string[] {
  return [...new Set([...keysOf(expected), ...keysOf(found)])].sort().flatMap((name) => {
    const [before, now] = [part(expected, name), part(found, name)];
    if (before === now) return [];
    if (now === undefined) return [`${prefix}${name} is missing`];
    if (before === undefined) return [`${prefix}${name} was not there at the backup`];
    const [content, definition] = words(before);
    const [contentNow, definitionNow] = words(now);
    return [
      ...(content === contentNow ? [] : [`${prefix}${name} has other documents than at the backup`]),
      ...(definition === definitionNow
        ? []
        : [`${prefix}${name} has another UUID, other options or other indexes than at the backup`]),
    ];
  });
}

/** `<dbHash> <digest of the definition>`, or only the dbHash; of a view only the digest, which then counts as both. */
function words(value: unknown): readonly [string, string] {
  const [content = '', definition = ''] = String(value).split(' ');
  return [content, definition];
}

function keysOf(value: unknown): readonly string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function part(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Plain)[name]
    : undefined;
}
