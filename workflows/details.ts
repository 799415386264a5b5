import { clockTime, runClock, withClockTimes, type Clock } from '../model/clock-text.ts';
import type { Instant } from '../model/plan.ts';
import { phaseWords, type NowItem, type Progress, type Question } from '../model/progress.ts';

/** So many services are named; the others are counted. */
const namedServices = 12;

/** Markdown for the page of a run in the Temporal UI: what the command `status` shows, as far as it stands still. */
export function detailsOf(progress: Omit<Progress, 'steps'>, now: Instant): string {
  const clock = runClock(progress, { now, timezone: progress.timezone ?? 'UTC' });
  const { down, notBack, warnings } = progress;
  return [
    header(progress, clock),
    [...nowItems(progress, clock), ...asked(progress, clock)].map((item) => `- ${item}`).join('\n'),
    ...(down.length === 0 ? [] : [`**down** ${downText(down, clock)}`]),
    ...notBack.map(
      ({ what, host, why }) =>
        `**not back** ${what} on ${host}: ${why}. There: \`coldbackup recover --host ${host} --site FILE\``,
    ),
    ...warnings.map((warning) => `*note* ${warning}`),
  ].join('\n\n');
}

function header(
  { site, procedure, since, restartAt, upBy, timezone }: Omit<Progress, 'steps'>,
  clock: Clock,
) {
  const times = [`since ${clockTime(since, clock)}`];
  if (upBy !== null) {
    times.push(`restart ${restartAt === null ? 'when done' : clockTime(restartAt, clock)}`);
    times.push(`up by ${clockTime(upBy, clock)}`);
  }
  return `**${site}/${procedure}** · ${times.join(' · ')} (${timezone ?? 'UTC'})`;
}

function nowItems({ now, phase, report }: Omit<Progress, 'steps'>, clock: Clock): readonly string[] {
  if (report !== null)
    return [`**ended: ${report.outcome}**${report.reason === null ? '' : `: ${report.reason}`}`];
  return now.length === 0 ? [phaseWords[phase]] : now.map((item) => nowText(item, clock));
}

function nowText({ step, text, until, then }: NowItem, clock: Clock): string {
  const limit = until === null ? '' : ` until ${clockTime(until, clock)}`;
  return `**${step}** ${withClockTimes(text, clock)}${limit}${then === null ? '' : `, then ${then}`}`;
}

/** What waits for a person, and the Update to send from *More Actions*. */
function asked({ paused, questions }: Omit<Progress, 'steps'>, clock: Clock): readonly string[] {
  return [
    ...(paused === null ? [] : [`**paused** by ${paused.by}: ${paused.why}. Update \`resume\` goes on`]),
    ...questions.map((question) => questionText(question, clock)),
  ];
}

function questionText({ step, text, answers, by, else: otherwise }: Question, clock: Clock): string {
  return `**${step} asks** ${text} Update \`answer\`: ${answers.join(' or ')}; from ${clockTime(by, clock)} on ${otherwise}`;
}

function downText(down: Progress['down'], clock: Clock): string {
  const named = down
    .slice(0, namedServices)
    .map(({ service, host, since }) => `${service} on ${host} since ${clockTime(since, clock)}`);
  const more = down.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
