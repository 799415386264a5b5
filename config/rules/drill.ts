import type { Site } from '../../model/site.ts';
import type { Finding } from '../problem.ts';

/** Checks ask MongoDB databases; what is opened needs a server of its release; proofs that are asked for need a drill. */
export function drillRules(site: Site): readonly Finding[] {
  const { drill } = site;
  if (drill === undefined)
    return Object.entries(site.procedures).flatMap(([name, { proveEveryMs, drill: times }]) =>
      [...(proveEveryMs === undefined ? [] : ['prove-every']), ...(times === undefined ? [] : ['drill'])].map(
        (key) => ({
          path: ['procedures', name, key],
          message: 'proofs come from drills, and this file does not say where they are',
          hint: 'add, at the top level, drill: { scratch: /an/existing/folder }',
        }),
      ),
    );
  const without = Object.entries(site.databases).flatMap(([name, { engine }]) =>
    engine.kind === 'mongodb' && engine.mongod === undefined && drill.mongod === undefined ? [name] : [],
  );
  return [
    ...(without.length > 0
      ? [
          {
            path: ['drill'],
            message: `missing: mongod, to open the copies of ${without.join(', ')} with`,
            hint: 'add mongod: [/usr/bin/mongod] here, or to the databases where they are of several releases',
          },
        ]
      : []),
    ...drill.checks.flatMap(({ database }, index) =>
      site.databases[database] === undefined || site.databases[database].engine.kind === 'mongodb'
        ? []
        : [
            {
              path: ['drill', 'checks', index, 'database'],
              message: `${database} is no MongoDB database: checks are questions to MongoDB`,
            },
          ],
    ),
  ];
}
