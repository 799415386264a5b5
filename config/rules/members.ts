import type { MongodbEngine, Site } from '../../model/site.ts';
import type { Finding, Path } from '../problem.ts';

/** A member is one service on one host, and no other member's; its database does not count it among the writers. */
export function memberRules(site: Site): readonly Finding[] {
  const taken = new Map<string, string>();
  return Object.entries(site.databases).flatMap(([database, { usedBy, engine }]) => {
    if (engine.kind !== 'mongodb') return [];
    const own = new Set(Object.values(engine.members).map(({ service }) => service));
    const routers = engine.routers ?? [];
    return [
      ...routersOf(site, database, engine, own),
      ...replicaSetsOf(database, engine),
      ...Object.entries(engine.members).flatMap(([member, { host, service }]) => {
        const path: Path = ['databases', database, 'mongodb', 'members', member, 'service'];
        return [...elsewhere(site, host, service, path), ...shared(taken, member, service, path)];
      }),
      ...usedBy.flatMap((service, index) =>
        own.has(service) || routers.includes(service)
          ? [
              {
                path: ['databases', database, 'used-by', index],
                message: `"${service}" is a server of ${database}, not one of its users`,
              },
            ]
          : [],
      ),
    ];
  });
}

/** The agent that talks to mongos starts one itself: it must be there when the balancer is put back. */
function routersOf(
  site: Site,
  database: string,
  { mongos, routers }: MongodbEngine,
  members: ReadonlySet<string>,
): readonly Finding[] {
  if (routers === undefined) return [];
  const path: Path = ['databases', database, 'mongodb', 'routers'];
  if (mongos === undefined)
    return [{ path, message: `only a sharded cluster has routers, and ${database} names no mongos` }];
  const there = routers.some((service) => site.services[service]?.hosts.includes(mongos.host) === true);
  return [
    ...routers.flatMap((service, index) =>
      members.has(service)
        ? [{ path: [...path, index], message: `"${service}" is a member of ${database}, and no router` }]
        : [],
    ),
    ...(there
      ? []
      : [
          {
            path,
            message: `none of them runs on ${mongos.host}, where mongos is asked`,
            hint: 'name every mongos of the cluster, that one too',
          },
        ]),
  ];
}

function replicaSetsOf(database: string, { mongos, members }: MongodbEngine): readonly Finding[] {
  const all = Object.entries(members);
  const named = all.filter(([, { replicaSet }]) => replicaSet !== undefined);
  const at = (member: string): Path => ['databases', database, 'mongodb', 'members', member];
  if (mongos === undefined)
    return named.map(([member]) => ({
      path: [...at(member), 'replica-set'],
      message: `only a sharded cluster has several replica sets, and ${database} names no mongos`,
    }));
  if (named.length === 0) return [];
  return all
    .filter(([, { replicaSet }]) => replicaSet === undefined)
    .map(([member]) => ({
      path: at(member),
      message: 'it names no replica-set, and other members do',
      hint: 'name that of every member, the config servers too, or of none',
    }));
}

function elsewhere(site: Site, host: string, service: string, path: Path): readonly Finding[] {
  const hosts = site.services[service]?.hosts;
  if (hosts === undefined || (hosts.length === 1 && hosts[0] === host)) return [];
  return [
    {
      path,
      message: `service "${service}" runs on ${hosts.join(', ')}, not on ${host} alone as its member does`,
      hint: 'give each member a service of its own, on the host of the member',
    },
  ];
}

function shared(taken: Map<string, string>, member: string, service: string, path: Path): readonly Finding[] {
  const other = taken.get(service);
  if (other === undefined) taken.set(service, member);
  return other === undefined
    ? []
    : [
        {
          path,
          message: `service "${service}" is already that of member ${other}`,
          hint: 'stopping one member must not stop another: give each a service of its own',
        },
      ];
}
