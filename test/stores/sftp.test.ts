import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openStore } from '../../activities/stores/activities.ts';
import type { SftpStore } from '../../model/site.ts';
import { freePort } from '../support/ports.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { conformance } from './conformance.ts';
import { noSshd, startSshd, type Sshd } from './rigs/sftp.ts';
import { startWire } from './rigs/wire.ts';
import { failureOf, setOf, siteOf } from './support.ts';

conformance({
  name: 'an SFTP server',
  missing: noSshd,
  knowsItsRoom: true,
  make: async (cleanup) => (await startSshd(cleanup)).spec,
});

const suite = noSshd === null ? describe : describe.skip;
const mib = 1024 * 1024;

suite('an SFTP server that is not as expected', () => {
  const cleanup = createCleanup();
  const set = setOf('2026-11-20T190000Z-0a1b2c3d');
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await startSshd(cleanup);
  });
  afterAll(cleanup.run);

  const open = (changes: Partial<SftpStore> = {}) =>
    openStore(siteOf({ ...sshd.spec, ...changes }), 'mongo-1', 'vault');

  test('a server with another host key is never logged in to', async () => {
    const other = (await readFile(`${sshd.otherKey}.pub`, 'utf8')).trim();
    const error = await failureOf(open({ hostKey: other }).folders('vitam'));
    expect(error.message).toMatch(
      /^Store vault \(sftp:\/\/root@127.0.0.1:\d+\/.*\) on host mongo-1 could not list its sets: 127.0.0.1:\d+ is another server than the site file names: its host key is ssh-ed25519 AAAA/,
    );
    expect(error.mayPass).toBe(false);
    expect(sshd.log()).not.toContain('Accepted publickey');
  });

  test('all that goes on at once shares one connection, which ends when nobody uses it', async () => {
    const logins = async (): Promise<number> =>
      (await readFile(join(sshd.folder, 'log'), 'utf8')).split('Accepted publickey').length - 1;
    expect(await logins()).toBe(0);
    const counts = Array.from({ length: 40 }, (_, index) => open().writeToken(`at-once-${index}`));
    await Promise.all(counts);
    expect(await open().hasToken('at-once-39')).toBe(true);
    expect(await logins()).toBe(1);
    await waitFor(
      async () => (await readFile(join(sshd.folder, 'log'), 'utf8')).includes('Disconnected from user root'),
      {
        what: 'the end of the connection',
        withinMs: 20_000,
      },
    );
  });

  test('a key that the server refuses, or that is none, is named, and not tried again', async () => {
    const refused = await failureOf(open({ key: { file: sshd.otherKey } }).freeBytes());
    expect(refused.message).toContain(`refuses user root with the key of file: ${sshd.otherKey}`);
    expect(refused.mayPass).toBe(false);
    const none = await failureOf(open({ key: { file: `${sshd.otherKey}.pub` } }).freeBytes());
    expect(none.message).toContain('It must be a private key without a passphrase');
    const missing = await failureOf(open({ key: { file: '/does/not/exist' } }).freeBytes());
    expect(missing.message).toContain('The secret file: /does/not/exist cannot be read');
  });

  test('a server that is not there may be there later', async () => {
    const error = await failureOf(open({ port: await freePort() }).writeToken('x'));
    expect(error.message).toMatch(/could not be reached: .*ECONNREFUSED/);
    expect(error.mayPass).toBe(true);
  });

  test('a store whose directory is gone is not made', async () => {
    const directory = `${sshd.spec.directory}/unmounted`;
    const error = await failureOf(open({ directory }).create(set, 'db/file', 'one'));
    expect(error.message).toContain(`${directory} is not there on the server. Is its disk mounted?`);
  });

  test('a connection that is lost in the middle fails the part, and nothing of it stays', async () => {
    const wire = await startWire(cleanup, sshd.port);
    const store = open({ port: wire.port });
    const part = await store.create(set, 'db/lost', 'one');
    await part.write(Buffer.alloc(mib));
    wire.cut();
    const lost = await failureOf(
      (async () => {
        for (;;) await part.write(Buffer.alloc(mib));
      })(),
    );
    expect(lost.message).toMatch(/could not write .*lost.*: the connection to 127.0.0.1:\d+ was lost/);
    expect(lost.mayPass).toBe(true);
    await expect(part.seal()).rejects.toThrow('was lost');
    await part.discard();
    expect(await readdir(`${sshd.spec.directory}/vitam/nightly/${set.id}/db`)).toEqual([]);
    const again = await store.create(set, 'db/lost', 'one');
    await again.write(Buffer.from('whole'));
    await again.seal();
    expect(await store.readText(set, 'db/lost')).toBe('whole');
  });

  test('a connection that is lost while reading fails the reader, and the next one goes well', async () => {
    const wire = await startWire(cleanup, sshd.port);
    const store = open({ port: wire.port });
    const part = await store.create(set, 'db/large', 'one');
    for (let i = 0; i < 16; i += 1) await part.write(Buffer.alloc(mib, i));
    await part.seal();
    const read = async (cut: boolean): Promise<number> => {
      let bytes = 0;
      for await (const chunk of store.read(set, 'db/large')) {
        if (bytes === 0 && cut) wire.cut();
        bytes += chunk.length;
      }
      return bytes;
    };
    expect(await failureOf(read(true))).toMatchObject({ mayPass: true });
    expect(await read(false)).toBe(16 * mib);
  });

  test('a full store is called full, and what was begun goes', async () => {
    const small = await startSshd(cleanup, { storeBytes: 4 * mib });
    const store = openStore(siteOf(small.spec), 'mongo-1', 'vault');
    const part = await store.create(set, 'db/file', 'one');
    const error = await failureOf(
      (async () => {
        for (let i = 0; i < 16; i += 1) await part.write(Buffer.alloc(mib));
        await part.seal();
      })(),
    );
    expect(error.message).toContain('The store is full: make room, or keep fewer sets.');
    await part.discard();
    expect(await store.freeBytes()).toBeGreaterThan(3 * mib);
  });
});
