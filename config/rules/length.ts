import type { BackupStep, Site, Step } from '../../model/site.ts';
import type { Finding } from '../problem.ts';
import { walkSteps } from './walk.ts';

/** A run never continues as new: its history must stay far below Temporal's 51,200 events. */
const mostEvents = 10_000;
/** Scheduled, started, completed, and the three of the workflow task that follows. Counted on recorded nights. */
const eventsPerActivity = 6;
/** Preflight, claim, takeover, release and the proof of shared stores. */
const activitiesPerHost = 6;
const activitiesPerMember = 12;

/** A procedure whose history would grow too long is to be divided. */
export function lengthRules(site: Site): readonly Finding[] {
  return Object.entries(site.procedures).flatMap(([name, { steps }]) => {
    const path = ['procedures', name, 'steps'];
    const activities = walkSteps(steps, path).reduce((sum, { step }) => sum + activitiesOf(site, step), 0);
    const perHost = activitiesPerHost + closings(site, steps);
    const events = eventsPerActivity * (activities + perHost * site.hosts.length);
    return events <= mostEvents
      ? []
      : [
          {
            path,
            message: `a run would write about ${events} events, more than the ${mostEvents} that are safe`,
            hint: 'divide the procedure into two, or stop groups of services through one unit',
          },
        ];
  });
}

/** Where data is copied on its host, each step is closed before archives are made. */
function closings(site: Site, steps: readonly Step[]): number {
  const copied = walkSteps(steps, []).some(
    ({ step }) =>
      step.kind === 'backup' &&
      step.databases.some((database) => site.databases[database]?.engine.copyBy !== undefined),
  );
  return copied ? steps.length : 0;
}

function activitiesOf(site: Site, step: Step): number {
  switch (step.kind) {
    case 'stop':
      return 2 * step.services.reduce((sum, service) => sum + (site.services[service]?.hosts.length ?? 0), 0);
    case 'wait':
      return 1;
    case 'parallel':
      return 0;
    case 'backup':
      return step.databases.reduce((sum, database) => sum + activitiesOfBackup(site, step, database), 0);
  }
}

function activitiesOfBackup(site: Site, { to }: BackupStep, database: string): number {
  const engine = site.databases[database]?.engine;
  if (engine?.kind !== 'mongodb') return 2 + to.length;
  return Object.keys(engine.members).length * (activitiesPerMember + to.length);
}
