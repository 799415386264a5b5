import * as z from 'zod';
import { siteSchema } from './schema/site.ts';

/** For editors: what a site file may say, with a description on every key. */
export function siteJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(siteSchema(null), { io: 'input' });
  return {
    $schema,
    title: 'coldbackup site file',
    description:
      'Everything one site file describes: hosts, services, jobs, counts, databases, stores, procedures.',
    ...schema,
  };
}
