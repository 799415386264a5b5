import { appendFileSync } from 'node:fs';
import { symlink, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createAgentActivities } from '../../activities/agent.ts';
import { createHostWorld } from '../../activities/ledger/host-world.ts';
import { openJournal } from '../../activities/ledger/journal.ts';
import type { Journal } from '../../activities/ledger/journal.ts';
import type { AgentActivities, CopyInput } from '../../model/activities.ts';
import type { Artifact } from '../../model/manifest.ts';
import type { Site } from '../../model/site.ts';
import { manifestOf, siteWith } from '../stores/support.ts';
import { filesBelow, host, isRoot, makePlace, setRef, withTools } from './support.ts';
import type { Place } from './support.ts';

const mebibyte = 1024 * 1024;
const siteDigest = 'd'.repeat(64);

let place: Place;
let journal: Journal;
let onBeat: () => void;
beforeEach(async () => {
  place = await makePlace();
  journal = openJournal(join(place.folder, 'journal'));
  onBeat = () => undefined;
});
afterEach(async () => {
  journal.release();
  await place.remove();
});

/** The agent's own activities over a real journal, files and store; only Temporal is not there. */
function agentOf(directory = place.store.place): AgentActivities {
  const engine = { kind: 'files', host, roots: [place.tree], exclude: [] } as const;
  const site: Site = { ...siteWith(directory), databases: { offer: { usedBy: [], engine } } };
  return createAgentActivities({
    ...{ site, siteDigest, host, journal, version: 'test' },
    world: createHostWorld(site, host),
    ended: new AbortController().signal,
    signal: () => new AbortController().signal,
    heartbeat: () => () => onBeat(),
    warn: () => undefined,
  });
}

async function claim(agent: AgentActivities): Promise<CopyInput> {
  const { journal: id, epoch } = await agent.claim({
    ...{ protocol: 1, site: 'vitam', host, siteDigest, procedure: 'nightly', night: '2026-11-20' },
    ...{ workflowId: 'w1', runId: 'r1', again: false, holds: [] },
    ...{ upBy: '2126-11-21T07:30:00.000Z', hardLimit: '2126-11-21T09:30:00.000Z' },
  });
  return {
    ref: { site: 'vitam', host, journal: id, epoch, siteDigest },
    ...{ id: '6/offer', position: '6/offer', set: setRef, store: 'vault', artifact: 'offer/files.tar.zst' },
    source: { kind: 'files', database: 'offer' },
  };
}

function failsForGood(type: string, message: string | RegExp) {
  return { type, nonRetryable: true, message: expect.stringMatching(message) };
}

describe('a copy that no retry can cure fails for good at its first attempt', () => {
  test('a tree that changes while it is read', async () => {
    const agent = agentOf();
    await writeFile(join(place.tree, 'large'), randomBytes(16 * mebibyte));
    onBeat = () => appendFileSync(join(place.tree, 'large'), 'more');
    const copied = agent.copy(await claim(agent));
    await expect(copied).rejects.toMatchObject(failsForGood('ArchiveError', /not at rest.*large/s));
    expect(await filesBelow(place.store.place)).toEqual([]);
  });

  test('a link that leaves the root', async () => {
    const agent = agentOf();
    await symlink('/nowhere/else', join(place.tree, 'out'));
    const copied = agent.copy(await claim(agent));
    await expect(copied).rejects.toMatchObject(failsForGood('ArchiveError', 'symbolic link to /nowhere'));
  });

  test('a name that is taken', async () => {
    const agent = agentOf();
    const input = await claim(agent);
    await agent.copy(input);
    const again = agent.copy({ ...input, id: '7/offer', position: '7/offer' });
    await expect(again).rejects.toMatchObject(failsForGood('StoreError', 'sealed already'));
  });

  (isRoot ? test : test.skip)('a store that is full (needs root, for a small one)', async () => {
    const directory = join(place.folder, 'small');
    await place.mount(directory, '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs');
    await writeFile(join(place.tree, 'large'), randomBytes(16 * mebibyte));
    const agent = agentOf(directory);
    const copied = agent.copy(await claim(agent));
    await expect(copied).rejects.toMatchObject(failsForGood('StoreError', 'The store is full'));
  });
});

test('a copy whose compressor was killed may be tried again, and is whole then', async () => {
  await writeFile(join(place.tree, 'large'), randomBytes(4 * mebibyte));
  const agent = agentOf();
  const input = await claim(agent);
  await withTools({ zstd: '#!/bin/sh\nkill -KILL $$\n' }, async () => {
    await expect(agent.copy(input)).rejects.toMatchObject({ type: 'ArchiveError', nonRetryable: false });
  });
  await expect(agent.copy(input)).resolves.toMatchObject({ files: 1, contentBytes: 4 * mebibyte });
});

test('a set that is published with another manifest already fails for good', async () => {
  const agent = agentOf();
  const artifact: Artifact = await agent.copy(await claim(agent));
  const input = { site: 'vitam', store: 'vault', manifest: manifestOf(setRef, [artifact]) };
  await agent.publishSet(input);
  const other = { ...input, manifest: { ...input.manifest, warnings: ['another'] } };
  await expect(agent.publishSet(other)).rejects.toMatchObject(
    failsForGood('StoreError', 'published already'),
  );
});
