/** A small right site, for tests to spoil in one place. */
export const SMALL_SITE = `site: small
timezone: Europe/Paris
hosts: [one, two]
services:
  web: { host: one, systemd: web.service, stop-within: 90s, ready: { tcp: "localhost:80", within: 1m } }
  worker: { hosts: [one, two], command: { start: [/bin/a], stop: [/bin/b], status: [/bin/c] } }
  db-a: { host: one, systemd: db.service }
  db-b: { host: two, systemd: db.service }
jobs:
  nightly-job: { host: one, systemd: job.service }
counts:
  left: { host: two, http: "http://localhost:1/x", pointer: /left }
databases:
  db:
    used-by: [web, worker]
    mongodb:
      mongos: { host: one, uri: { file: /etc/secret } }
      members:
        "one:27017": { host: one, service: db-a, data: /data/db, uri: { file: /etc/secret } }
        "two:27017": { host: two, service: db-b, data: /data/db, uri: { env: DB_URI } }
  tree:
    used-by: [web]
    files: { host: one, roots: [/srv/tree] }
stores:
  vault: { directory: /backup, shared: true, keeper: two }
procedures:
  nightly:
    start: { days: mon-fri, at: "20:00", not-after: "21:00" }
    restart: { at: "08:00" }
    up-by: "08:30"
    steps:
      - stop: [web]
      - parallel:
          job:
            - wait: { job: nightly-job, began-after: "00:00", until: "02:00", otherwise: fail }
          drain:
            - wait: { count: left, reaches: 0, until: "03:00", otherwise: continue }
            - stop: [worker]
      - wait: { clock: "04:00" }
      - backup: { databases: [db, tree], method: cold, from: primary, to: [vault] }
    keep: { last: 3, daily: 7 }
`;

/** The small site with the first (or all) of `from` replaced; fails when there is none. */
export function spoil(...changes: readonly (readonly [from: string, to: string])[]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the small site has no "${from}"`);
    return text.replace(from, () => to);
  }, SMALL_SITE);
}
