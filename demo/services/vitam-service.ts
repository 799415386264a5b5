// A stand-in for one service of Vitam, run under servicectl: `node vitam-service.js SETTINGS.json`. It answers on its
// status page, and writes what the real one would write: documents through mongos, files, workflows that end.
// Elasticsearch is one of them too: it only writes files.
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDocumentWriter, type DocumentWriter } from './documents.ts';
import { addObject } from './offer.ts';
import type { ServiceSettings } from './settings.ts';
import { startWorkflows } from './workflows.ts';

/** Few, since every write is carried out three times by emulated servers. */
const writeEveryMs = 1_000;
const workflowEndsEveryMs = 1_000;
const objectBytes = 64 * 1024;

const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ServiceSettings;
await run(settings);

async function run({
  name,
  port,
  unitFolder,
  acknowledged,
  documents,
  ...work
}: ServiceSettings): Promise<void> {
  const stopping = new AbortController();
  process.once('SIGTERM', () => stopping.abort());
  const label = `${name}-${readFileSync(join(unitFolder, 'instance'), 'utf8').trim()}`;
  const file = join(acknowledged, label);
  const ids = join(acknowledged, documents?.database ?? '', `${label}.ids`);
  const writer = documents && createDocumentWriter(documents, label, ids, stopping.signal);
  const page = await serve(port, name, writer);
  const { tree, workflows } = work;
  await Promise.all([
    writer && every(writeEveryMs, stopping.signal, () => writer.insert({ service: name, what: 'routine' })),
    tree !== undefined &&
      every(writeEveryMs, stopping.signal, (n) =>
        addObject(tree, join('objects', label, `${n}.bin`), objectBytes, `${file}.sha256`),
      ),
    workflows && endWorkflows(workflows, writer, stopping.signal),
    !writer && tree === undefined && once(stopping.signal),
  ]);
  page.closeAllConnections();
  page.close();
  await writer?.close();
}

async function endWorkflows(
  settings: NonNullable<ServiceSettings['workflows']>,
  writer: DocumentWriter | undefined,
  signal: AbortSignal,
): Promise<void> {
  const workflows = startWorkflows(settings);
  await every(workflowEndsEveryMs, signal, async () => {
    const ended = await workflows.endOne();
    if (ended !== undefined) await writer?.insert({ what: 'workflow ended', workflow: ended });
  });
}

/** What is under way is finished first: nobody is left with a write whose outcome is not known. */
async function every(ms: number, signal: AbortSignal, work: (n: number) => Promise<void>): Promise<void> {
  for (let n = 1; !signal.aborted; n += 1) {
    await work(n);
    await sleep(ms, undefined, { signal }).catch(() => undefined);
  }
}

function once(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    // Only a timer keeps this process: the status page must not.
    const keep = setInterval(() => undefined, 60_000);
    signal.addEventListener('abort', () => {
      clearInterval(keep);
      done();
    });
  });
}

/** GET /admin/v1/status; of logbook, POST /secure is the work that the securing job asks for. */
function serve(port: number, name: string, writer: DocumentWriter | undefined): Promise<Server> {
  const server = createServer((request, response) => {
    const done =
      request.method === 'POST' && request.url === '/secure' && writer
        ? writer.insert({ service: name, what: 'secured' })
        : Promise.resolve();
    done.then(
      () => response.end(`${JSON.stringify({ name, status: 'UP' })}\n`),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
