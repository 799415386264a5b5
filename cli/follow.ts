import type { ColdbackupClient } from '../client/client.ts';
import type { RunRef } from '../client/reports.ts';
import type { Watched } from '../client/watch.ts';
import type { Progress, Report } from '../model/progress.ts';
import { changesBetween } from './screens/changes.ts';
import { liveLines } from './screens/live.ts';
import { isTerminal, localTimezone, nowInstant, paint, print, tell } from './terminal.ts';

/** How a run is shown while it is followed. */
export type View = 'screen' | 'lines' | 'json-lines' | 'nothing';

export function viewFor(json: 'json-lines' | 'nothing' | null): View {
  if (json !== null) return json;
  return isTerminal() ? 'screen' : 'lines';
}

/** Shows a run until it has ended; on a terminal drawn again and again, elsewhere a line for each change. */
export async function follow(client: ColdbackupClient, run: RunRef, view: View): Promise<Report> {
  const show = await viewers[view]();
  const { seen, end } = show;
  const leave = (): void => {
    end();
    tell('the run goes on; see it: coldbackup status SITE. To end it: coldbackup abort SITE --why "…"');
    process.exit(leftCode);
  };
  process.once('SIGINT', leave);
  try {
    for await (const watched of client.follow(run)) seen(watched);
  } finally {
    process.off('SIGINT', leave);
    end();
  }
  return await client.result(run);
}

/** 128 + SIGINT: whoever looked has gone, the run has not. */
const leftCode = 130;

interface Viewer {
  readonly seen: (watched: Watched) => void;
  readonly end: () => void;
}

const viewers: Readonly<Record<View, () => Viewer | Promise<Viewer>>> = {
  async screen() {
    const { createLogUpdate } = await import('log-update');
    const draw = createLogUpdate(process.stdout);
    return {
      seen: ({ progress, copies, waits, trouble }) => {
        const options = { paint: paint(), waits };
        const lines = liveLines(progress, copies, nowInstant(), localTimezone(), options);
        draw([...lines, ...(trouble === null ? [] : [paint().red(trouble)])].join('\n'));
      },
      end: () => {
        draw.clear();
        draw.done();
      },
    };
  },
  lines: () =>
    onChange((before, { progress }) => {
      for (const line of changesBetween(before, progress, nowInstant(), localTimezone())) print(line);
    }),
  'json-lines': () =>
    onChange((before, { progress, copies }) => {
      if (JSON.stringify(before) !== JSON.stringify(progress)) print(JSON.stringify({ progress, copies }));
    }),
  nothing: () => ({ seen: () => undefined, end: () => undefined }),
};

function onChange(show: (before: Progress | null, watched: Watched) => void): Viewer {
  let before: Progress | null = null;
  let unanswered = 0;
  return {
    seen: (watched) => {
      show(before, watched);
      before = watched.progress;
      unanswered = watched.trouble === null ? 0 : unanswered + 1;
      // One answer that came late is no news: a busy machine has them.
      if (watched.trouble !== null && unanswered === 2) tell(watched.trouble);
    },
    end: () => undefined,
  };
}
