import type { Path } from '../problem.ts';
import type { Step } from '../../model/site.ts';

/** A step, where it stands in the file, and the services that earlier steps have certainly stopped. */
export interface Visit {
  readonly step: Step;
  readonly path: Path;
  readonly stoppedBefore: ReadonlySet<string>;
}

/** Every step, in order. A branch knows what was stopped before its `parallel` and in itself, not beside it. */
export function walkSteps(steps: readonly Step[], path: Path): readonly Visit[] {
  return walk(steps, path, new Set()).visits;
}

function walk(
  steps: readonly Step[],
  path: Path,
  before: ReadonlySet<string>,
): { readonly visits: readonly Visit[]; readonly after: ReadonlySet<string> } {
  const visits: Visit[] = [];
  let stopped = before;
  steps.forEach((step, index) => {
    const here = [...path, index];
    visits.push({ step, path: here, stoppedBefore: stopped });
    if (step.kind === 'stop') stopped = new Set([...stopped, ...step.services]);
    if (step.kind !== 'parallel') return;
    const branches = Object.entries(step.branches).map(([name, inside]) =>
      walk(inside, [...here, 'parallel', name], stopped),
    );
    visits.push(...branches.flatMap((branch) => branch.visits));
    stopped = new Set([stopped, ...branches.map(({ after }) => after)].flatMap((some) => [...some]));
  });
  return { visits, after: stopped };
}
