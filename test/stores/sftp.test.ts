import { randomBytes } from 'node:crypto';
import { open as openFile, readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openStore } from '../../activities/stores/activities.ts';
import { createSftpStore } from '../../activities/stores/sftp/store.ts';
import type { Part } from '../../activities/stores/store.ts';
import type { SftpStore } from '../../model/site.ts';
import { freePort } from '../support/ports.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { conformance } from './conformance.ts';
import { noSshd, startSshd, type Sshd } from './rigs/sftp.ts';
import { startWire, type Wire } from './rigs/wire.ts';
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

  describe('in the middle of an upload', () => {
    const content = randomBytes(24 * mib);
    let wire: Wire;
    beforeAll(async () => {
      wire = await startWire(cleanup, sshd.port);
    });
    const openPatient = (withinMs: number) =>
      createSftpStore('vault', { ...sshd.spec, port: wire.port }, 'mongo-1', withinMs);
    /** Does something else after so many MiB. */
    const write = async (part: Part, at: Readonly<Record<number, () => unknown>>): Promise<void> => {
      for (let from = 0; from < content.length; from += mib) {
        await at[from / mib]?.();
        await part.write(content.subarray(from, from + mib));
      }
    };
    const isWhole = async (file: string): Promise<boolean> =>
      (await readFile(`${sshd.spec.directory}/vitam/nightly/${set.id}/${file}`)).equals(content);
    const partsIn = async (folder: string) =>
      (await readdir(`${sshd.spec.directory}/vitam/nightly/${set.id}/${folder}`)).map(
        (name) => `${sshd.spec.directory}/vitam/nightly/${set.id}/${folder}/${name}`,
      );

    test('a session that ends, a line that is cut and a server that restarts: it goes on where it was', async () => {
      const before = wire.carriedBytes();
      const part = await openPatient(30_000).create(set, 'db/resumed', 'one');
      let back: Promise<void> = Promise.resolve();
      await write(part, {
        7: () => sshd.endSessions(),
        12: async () => {
          await sshd.stop();
          back = sleep(1_000).then(() => sshd.start());
        },
        18: () => wire.cut(),
      });
      wire.cut();
      await part.seal();
      await back;
      expect(await isWhole('db/resumed')).toBe(true);
      // Each time at most what was on the way.
      expect(wire.carriedBytes() - before).toBeLessThan(1.75 * content.length);
      expect(await partsIn('db')).toHaveLength(1);
    });

    test('a server that stays away fails it after its time; once that is back nothing of it stays', async () => {
      const store = openPatient(1_500);
      const part = await store.create(set, 'away/file', 'one');
      let goneMs = 0;
      const lost = await failureOf(
        write(part, {
          5: () => {
            goneMs = performance.now();
            wire.lead(null);
            wire.cut();
          },
        }),
      );
      expect(performance.now() - goneMs).toBeGreaterThan(1_000);
      expect(performance.now() - goneMs).toBeLessThan(6_000);
      expect(lost.message).toMatch(
        /could not write .*file.*: the connection to 127.0.0.1:\d+ was lost: .*, and did not come back within 2 s: 127.0.0.1:\d+ could not be reached/,
      );
      expect(lost.mayPass).toBe(true);
      await expect(part.seal()).rejects.toThrow('did not come back');
      await expect(part.discard()).rejects.toThrow('could not be reached');
      wire.lead(sshd.port);
      await part.discard();
      expect(await partsIn('away')).toEqual([]);
      const again = await store.create(set, 'away/file', 'one');
      await again.write(Buffer.from('whole'));
      await again.seal();
      expect(await store.readText(set, 'away/file')).toBe('whole');
    });

    test('what is dropped while the server is away does not come back', async () => {
      const store = openPatient(60_000);
      const before = wire.refused();
      const part = await store.create(set, 'dropped/file', 'one');
      const writing = failureOf(
        write(part, {
          5: () => {
            wire.lead(null);
            wire.cut();
          },
        }),
      );
      await waitFor(async () => wire.refused() > before, {
        what: 'a try to connect again',
        withinMs: 20_000,
      });
      await expect(part.discard()).rejects.toThrow(/could not discard/);
      wire.lead(sshd.port);
      expect((await writing).message).toContain('was dropped meanwhile');
      await part.discard();
      expect(await partsIn('dropped')).toEqual([]);
    });

    test('another server in its place is not written to', async () => {
      const other = await startSshd(cleanup);
      const part = await openPatient(60_000).create(set, 'other/file', 'one');
      const error = await failureOf(
        write(part, {
          5: () => {
            wire.lead(other.port);
            wire.cut();
          },
        }),
      );
      wire.lead(sshd.port);
      expect(error.message).toContain('is another server than the site file names');
      expect(error.mayPass).toBe(false);
      await part.discard();
      expect(await partsIn('other')).toEqual([]);
    });

    test('a server whose machine went down must have still what it took: it is read back', async () => {
      const boot = (text: string) => writeFile(sshd.bootFile, text);
      const store = openPatient(60_000);
      const part = await store.create(set, 'boot/whole', 'one');
      const goDown = (harm: (path: string) => Promise<void>) => async (): Promise<void> => {
        const [path = ''] = await partsIn('boot');
        await waitFor(async () => (await stat(path)).size > 4 * mib, { what: 'bytes', withinMs: 20_000 });
        wire.cut();
        await boot(`${String(Math.random())}\n`);
        await harm(path);
      };
      await write(part, { 12: goDown(async () => undefined) });
      await part.seal();
      expect(await isWhole('boot/whole')).toBe(true);
      await store.drop(set, 'boot/whole');
      const harms = [
        (path: string) => truncate(path, mib),
        async (path: string) => {
          const file = await openFile(path, 'r+');
          await file.write(Buffer.alloc(4_096), 0, 4_096, mib);
          await file.close();
        },
      ];
      for (const harm of harms) {
        const harmed = await store.create(set, 'boot/harmed', 'one');
        const error = await failureOf(write(harmed, { 12: goDown(harm) }));
        expect(error.message).toMatch(
          /^Store vault .* lost the connection while .*harmed.* was written, and the server no longer has the \d+ bytes/,
        );
        expect(error.mayPass).toBe(true);
        await harmed.discard();
      }
      expect(await partsIn('boot')).toEqual([]);
    });
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
