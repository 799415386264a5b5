import { chmod, chown, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { assertSecretsReadable, assertTrustworthy, FileSafetyError } from '../../config/file-safety.ts';
import { parseSite } from '../../config/load.ts';
import { spoil } from './small-site.ts';

let root = '';
beforeAll(async () => {
  root = await realpath(await mkdtemp(path.join(tmpdir(), 'coldbackup-safety-')));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function fileIn(name: string, folderMode: number, fileMode: number): Promise<string> {
  const folder = path.join(root, name);
  const file = path.join(folder, 'site.yaml');
  await mkdir(folder);
  await writeFile(file, 'site: x\n');
  await chmod(file, fileMode);
  await chmod(folder, folderMode);
  return file;
}

describe('a site file', () => {
  test('that only its owner may write is trusted, below a sticky folder such as /tmp too', async () => {
    await expect(assertTrustworthy(await fileIn('good', 0o755, 0o644))).resolves.toBeUndefined();
  });

  test.each([
    ['the group', 0o664],
    ['everybody', 0o646],
  ])('that %s may write is refused, with the repair', async (who, mode) => {
    const file = await fileIn(`by-${who.replace(' ', '-')}`, 0o755, mode);
    await expect(assertTrustworthy(file)).rejects.toThrow(FileSafetyError);
    await expect(assertTrustworthy(file)).rejects.toThrow(`chmod go-w ${file}`);
  });

  test('in a folder that others may write is refused', async () => {
    const file = await fileIn('open', 0o777, 0o644);
    await expect(assertTrustworthy(file)).rejects.toThrow(
      `others may write ${path.dirname(file)} (mode 0777)`,
    );
  });

  test('in a sticky folder is trusted: others cannot replace it', async () => {
    await expect(assertTrustworthy(await fileIn('sticky', 0o1777, 0o644))).resolves.toBeUndefined();
  });

  test('that a link leads to is looked at where it lies', async () => {
    const target = await fileIn('behind', 0o777, 0o644);
    const link = path.join(path.dirname(await fileIn('before', 0o755, 0o644)), 'link.yaml');
    await symlink(target, link);
    await expect(assertTrustworthy(link)).rejects.toThrow(`others may write ${path.dirname(target)}`);
  });

  test('in a folder that is a link is looked at where it lies', async () => {
    const target = await fileIn('real', 0o755, 0o666);
    await symlink(path.dirname(target), path.join(root, 'alias'));
    await expect(assertTrustworthy(path.join(root, 'alias', 'site.yaml'))).rejects.toThrow(
      `others may write ${target}`,
    );
  });

  test('of a link that leads to itself is refused', async () => {
    const link = path.join(root, 'loop');
    await symlink(link, link);
    await expect(assertTrustworthy(link)).rejects.toThrow(/too many symbolic links/);
  });

  // Only root can give a file away.
  const asRoot = process.getuid?.() === 0 ? test : test.skip;
  asRoot('that belongs to another user is refused', async () => {
    const file = await fileIn('foreign', 0o755, 0o644);
    await chown(file, 12_345, 12_345);
    await expect(assertTrustworthy(file)).rejects.toThrow(`${file} belongs to user 12345`);
  });
});

describe('the secrets of a host', () => {
  function siteWith(secret: string) {
    const parsed = parseSite(
      spoil(
        [
          'mongos: { host: one, uri: { file: /etc/secret } }',
          `mongos: { host: one, uri: { file: ${secret} } }`,
        ],
        [
          'service: db-a, data: /data/db, uri: { file: /etc/secret }',
          `service: db-a, data: /data/db, uri: { file: ${secret} }`,
        ],
      ),
      'x',
    );
    if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
    return parsed.site;
  }

  test('are there: nothing is said, and other hosts are not asked', async () => {
    const secret = path.join(root, 'secret');
    await writeFile(secret, 'hunter2\n');
    await expect(assertSecretsReadable(siteWith(secret), 'one', {})).resolves.toBeUndefined();
  });

  test('are not there: every reference is named', async () => {
    const missing = path.join(root, 'missing');
    const attempt = assertSecretsReadable(siteWith(missing), 'one', {});
    await expect(attempt).rejects.toThrow(FileSafetyError);
    await expect(attempt).rejects.toThrow(
      /mongos\.uri: file .*ENOENT[^]*members\["one:27017"\]\.uri: file .*ENOENT/,
    );
  });

  test('come from the environment: the variable is named, and never its value', async () => {
    const site = siteWith('/etc/secret');
    await expect(assertSecretsReadable(site, 'two', { DB_URI: 'hunter2' })).resolves.toBeUndefined();
    await expect(assertSecretsReadable(site, 'two', { OTHER: 'hunter2' })).rejects.toThrow(
      'secrets that host two needs cannot be read:\ndatabases.db.mongodb.members["two:27017"].uri: environment variable DB_URI is not set',
    );
  });

  test('are a directory: refused', async () => {
    await expect(assertSecretsReadable(siteWith(root), 'one', {})).rejects.toThrow(
      /is a directory, not a file/,
    );
  });
});
