import type { Link } from '../../client/link.ts';
import { openLink } from '../../client/link.ts';
import { parseSite } from '../../config/load.ts';
import type { Site } from '../../model/site.ts';
import { startDevServer, type DevServer } from '../support/temporal.ts';

export interface Server {
  readonly server: DevServer;
  readonly link: Link;
  close(): Promise<void>;
}

export async function startServer(options: { readonly dbFile?: string } = {}): Promise<Server> {
  const server = await startDevServer(options);
  const link = await openLink({ address: server.address });
  return {
    server,
    link,
    close: async () => {
      await link.client.connection.close();
      await server.stop();
    },
  };
}

/** A site of which only the times matter; `starts`: of its procedures, as the file has them. */
export function siteWith(
  starts: Readonly<Record<string, string | null>>,
  { site = 'times', timezone = 'Europe/Paris', upBy = '12:00' } = {},
): Site {
  const text = `
site: ${site}
timezone: ${timezone}
hosts: [one]
services:
  web: { host: one, systemd: web.service }
drill: { scratch: /srv/drill }
procedures:
${Object.entries(starts)
  .map(
    ([name, start]) => `  ${name}:
${start === null ? '' : `    start: ${start}\n`}    up-by: "${upBy}"
    steps: [{ stop: [web] }]`,
  )
  .join('\n')}
`;
  const parsed = parseSite(text, 'times.yaml');
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.site;
}
