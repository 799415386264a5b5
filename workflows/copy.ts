import type { CopySource } from '../model/activities.ts';
import type { PlanDatabase } from '../model/plan.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { refOf } from './ledger.ts';
import { planOf, setRefOf, showNow, type Run } from './run.ts';
import type { BackupTarget } from './steps/backup.ts';
import { together } from './together.ts';

const shortMs = 60_000;

/** Copies one source to every store of the step; the run remembers the artifacts. */
export async function copyTo(
  run: Run,
  target: BackupTarget,
  wanted: {
    readonly host: HostName;
    readonly source: CopySource;
    readonly artifact: string;
    /** What the copy ends with; default: all of the database. */
    readonly scope?: string;
  },
): Promise<void> {
  const { host, source, artifact, scope = target.scope } = wanted;
  // The run itself ends it in time for up-by, which operators may extend.
  const { site, hardLimit } = planOf(run);
  const withinMs = Math.max(shortMs, Date.parse(hardLimit) - Date.now());
  await together(
    target.to.map((store) => async () => {
      const position = `${scope}/copy/${artifact}/${store}`;
      const done = showNow(run, position, {
        step: target.step,
        text: `copying ${artifact} to ${store}`,
        until: null,
        then: null,
      });
      try {
        const { copy } = agent(site, host, { summary: `copy ${artifact}`, withinMs, copy: true });
        const input = { ref: refOf(run, host), id: `${position}@${host}`, position, set: setRefOf(run) };
        target.artifacts.push(await copy({ ...input, store, artifact, source }));
      } finally {
        done();
      }
    }),
  );
}

/** Every host says that what it holds down was never started since it was stopped; one that cannot: no set. */
export async function attest(
  run: Run,
  { usedBy }: Pick<PlanDatabase, 'usedBy'>,
  also: PlanDatabase['usedBy'] = [],
): Promise<void> {
  const held = [...usedBy, ...also];
  const hosts = [...new Set(held.flatMap((service) => service.hosts))];
  await Promise.all(
    hosts.map((host) =>
      agent(planOf(run).site, host, { summary: 'attest that all was at rest', withinMs: shortMs }).attest({
        ref: refOf(run, host),
        services: held.filter((service) => service.hosts.includes(host)).map(({ service }) => service),
      }),
    ),
  );
}
