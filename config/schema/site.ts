import * as z from 'zod';
import type { Site } from '../../model/site.ts';
import { quoteWithNearest } from '../nearest.ts';
import { countSchema } from './count.ts';
import { databaseSchema } from './database.ts';
import { drillSchema } from './drill.ts';
import { defined, distinct, expected, named, strict } from './expect.ts';
import { jobSchema } from './job.ts';
import { DEFAULT_LIMITS, limitsSchema } from './limits.ts';
import { procedureSchema } from './procedure.ts';
import type { Known } from './reference.ts';
import { absolutePath, HOST_NAME, NAME } from './scalars.ts';
import { serviceSchema } from './service.ts';
import { storeSchema } from './store.ts';

/** A whole site file. `known` are the names that references are checked against; null: any. */
export function siteSchema(known: Known) {
  return strict({
    site: NAME.describe('The name of the site: in commands, task queues and stores.'),
    timezone: timezone.describe('IANA time zone of all clock times, such as Europe/Paris.'),
    hosts: distinct(HOST_NAME, 'hosts').describe('Every host that has an agent.'),
    services: named(NAME, serviceSchema(known))
      .exactOptional()
      .describe('What can be stopped and started, by name.'),
    jobs: named(NAME, jobSchema(known))
      .exactOptional()
      .describe('Work that begins and ends by itself, by name.'),
    counts: named(NAME, countSchema(known)).exactOptional().describe('Numbers to wait for, by name.'),
    databases: named(NAME, databaseSchema(known)).exactOptional().describe('What can be backed up, by name.'),
    stores: named(NAME, storeSchema(known)).exactOptional().describe('Where sets go, by name.'),
    procedures: named(NAME, procedureSchema(known)).describe('Ordered lists of steps, by name.'),
    limits: limitsSchema.exactOptional().describe('How long something may stay down when nobody decides.'),
    drill: drillSchema(known)
      .exactOptional()
      .describe('Where and how sets are restored to prove them ("coldbackup drill").'),
    'restore-to': absolutePath
      .exactOptional()
      .describe(
        'An existing folder, the same on every host that has it: "coldbackup restore --to" unpacks sets below it, to be looked at. Default: nowhere.',
      ),
  }).transform(({ drill, 'restore-to': restoreTo, ...raw }): Site => ({
    ...raw,
    ...defined({ drill, restoreTo }),
    services: raw.services ?? {},
    jobs: raw.jobs ?? {},
    counts: raw.counts ?? {},
    databases: raw.databases ?? {},
    stores: raw.stores ?? {},
    limits: raw.limits ?? DEFAULT_LIMITS,
  }));
}

const timezone = z
  .string({ error: expected('an IANA time zone such as Europe/Paris') })
  .superRefine((name, context) => {
    if (!isTimeZone(name))
      context.addIssue({
        code: 'custom',
        message: `unknown time zone ${quoteWithNearest(name, Intl.supportedValuesOf('timeZone'))}`,
        params: { hint: 'expected an IANA name such as Europe/Paris' },
      });
  });

/** Links such as Europe/Kiev are names too, and UTC is; offsets such as +01:00 are not. */
function isTimeZone(name: string): boolean {
  if (!/^[A-Z]/.test(name)) return false;
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions();
    return timeZone === name || timeZone.toLowerCase() !== name.toLowerCase();
  } catch {
    return false;
  }
}
