import type { Instant } from '../model/plan.ts';
import { openLink, type ConnectOptions, type Link } from './link.ts';
import { startedSince } from './runs.ts';
import { scheduleIdOf } from './schedule-options.ts';
import { describeSchedule, ownerOf } from './schedules.ts';

/** What the watchdog asks about nights. */
export interface Nights {
  /** @throws UnreachableError */
  connect(): Promise<void>;
  /** null: there is none of coldbackup. `paused`: why, null when it is not. */
  schedule(
    site: string,
    procedure: string,
  ): Promise<{ readonly createdAt: Instant; readonly paused: string | null } | null>;
  /** Whether a run began at this instant or later, however it ended. */
  startedSince(site: string, procedure: string, from: Instant): Promise<boolean>;
  close(): Promise<void>;
}

/** Connects at the first question, and again at the next where that failed. */
export function openNights(options: ConnectOptions): Nights {
  let opened: Promise<Link> | null = null;
  const link = (): Promise<Link> =>
    (opened ??= openLink(options).catch((error: unknown) => {
      opened = null;
      throw error;
    }));
  /** What began has begun. */
  const begun = new Set<string>();

  return {
    async connect() {
      await link();
    },
    async schedule(site, procedure) {
      const described = await describeSchedule(await link(), scheduleIdOf({ site, procedure }));
      if (described === null || ownerOf(described.scheduleId, described.memo) === null) return null;
      const { info, state } = described;
      return { createdAt: info.createdAt.toISOString(), paused: state.paused ? (state.note ?? '') : null };
    },
    async startedSince(site, procedure, from) {
      const key = [site, procedure, from].join('\0');
      if (!begun.has(key) && (await startedSince(await link(), site, procedure, from))) begun.add(key);
      return begun.has(key);
    },
    close: async () => {
      const open = await opened?.catch(() => null);
      await open?.client.connection.close();
    },
  };
}
