import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { bringBackOnce } from '../../activities/ledger/bring-back.ts';
import { createHostWorld } from '../../activities/ledger/host-world.ts';
import { createJobs } from '../../activities/ledger/jobs.ts';
import { openJournal, type Journal } from '../../activities/ledger/journal.ts';
import { createLedger } from '../../activities/ledger/ledger.ts';
import { publishSet } from '../../activities/stores/sets.ts';
import { openStore } from '../../activities/stores/activities.ts';
import type { Change, Ref } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { copyTo, manifestOf, setOf, siteWith } from '../stores/support.ts';

const host = 'mongo-1';
const set = setOf('2026-11-20T190000Z-0a1b2c3d');
const artifact = 'offer/files.tar.zst';
const what = { database: 'offer', set, artifact };
const unpack: Change = { kind: 'set-unpacked', store: 'vault', ...what };
const move: Change = { kind: 'data-moved-aside', ...what };

/** A real set, a real tree and a real journal; whoever brings back after an agent was killed has no more than these. */
describe('a restore whose agent is killed', () => {
  let folder: string;
  let site: Site;
  let journal: Journal;
  let ledger: ReturnType<typeof createLedger>;
  let ref: Ref;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'coldbackup-restore-'));
    for (const name of ['data', 'store', 'state']) mkdirSync(join(folder, name));
    write('as at the backup');
    const plain = siteWith(join(folder, 'store'));
    const offer = {
      usedBy: [],
      engine: { kind: 'files' as const, host, roots: [join(folder, 'data')] as const, exclude: [] },
    };
    site = { ...plain, databases: { offer } };
    const copied = await copyTo(site, host, set, artifact, join(folder, 'data'));
    await publishSet(openStore(site, host, 'vault'), manifestOf(set, [copied]));
    write('as it is now');
    startAgent();
    const claimed = await ledger.claim({
      ...{ protocol: 1, site: site.site, host, siteDigest: 'd', procedure: 'restore', again: true },
      ...{ workflowId: 'w', runId: 'r1', night: '2026-11-21', holds: ['data/offer'] },
      ...{ upBy: inHours(1), hardLimit: inHours(2) },
    });
    ref = { site: site.site, host, journal: claimed.journal, epoch: claimed.epoch, siteDigest: 'd' };
  });
  afterEach(() => {
    journal.release();
    rmSync(folder, { recursive: true, force: true });
  });

  test('before anything is kept leaves the data as it was, and nothing beside it', async () => {
    await change('0/offer', unpack);
    expect(content()).toBe('as it is now');
    await change('3/2/offer', move);
    expect(content()).toBe('as at the backup');
    await killAndBringBack();
    expect(content()).toBe('as it is now');
    expect(beside()).toEqual(['data']);
  });

  test('between unpacking and moving leaves the data alone, and nothing beside it', async () => {
    await change('0/offer', unpack);
    await killAndBringBack();
    expect(content()).toBe('as it is now');
    expect(beside()).toEqual(['data']);
  });

  test('once it is kept leaves what was restored, and the old data beside it', async () => {
    await change('0/offer', unpack);
    const { aside } = await change('3/2/offer', move);
    await ledger.commit({ ref, scope: '3' });
    await killAndBringBack();
    expect(content()).toBe('as at the backup');
    expect(readFileSync(join(aside?.[0] ?? '', 'file'), 'utf8')).toBe('as it is now');
    expect(beside()).toHaveLength(2);
  });

  test('is given up where the manifest names another artifact: the data is not touched', async () => {
    await expect(change('0/offer', { ...unpack, artifact: 'offer/other.tar.zst' })).rejects.toThrow(
      'has no artifact offer/other.tar.zst',
    );
    await expect(change('3/2/offer', move)).rejects.toThrow('holds no verified');
    await killAndBringBack();
    expect(content()).toBe('as it is now');
    expect(beside()).toEqual(['data']);
  });

  function startAgent(): void {
    journal = openJournal(join(folder, 'state'));
    const signal = new AbortController().signal;
    ledger = createLedger({
      ...{ host, site, siteDigest: 'd', journal },
      jobs: createJobs(journal, () => new Date().toISOString()),
      world: createHostWorld(site, host),
      signal: () => signal,
      warn: () => undefined,
    });
  }

  async function killAndBringBack(): Promise<void> {
    journal.release();
    startAgent();
    const deps = { site, siteDigest: 'd', host, journal, ledger, onUndo: () => undefined };
    const { notBack } = await bringBackOnce(deps, { by: 'recover (test)', why: 'the agent was killed' });
    expect(notBack).toEqual([]);
    expect(journal.state().claim).toBeNull();
  }

  function change(position: string, wanted: Change) {
    const id = `${position}@${host}`;
    return ledger.applyChange({ ref, id, position, change: wanted, notAfter: inHours(1) });
  }

  function content(): string {
    return readFileSync(join(folder, 'data', 'file'), 'utf8');
  }

  function write(text: string): void {
    writeFileSync(join(folder, 'data', 'file'), text);
  }

  function beside(): readonly string[] {
    return readdirSync(folder).filter((name) => name.startsWith('data'));
  }
});

function inHours(hours: number): string {
  return new Date(Date.now() + hours * 3_600_000).toISOString();
}
