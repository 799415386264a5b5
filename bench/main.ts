// `npm run bench -- NAME [ARGUMENTS]`: see docs/performance.md for what each measures.
const benches: Readonly<Record<string, () => Promise<unknown>>> = {
  archive: () => import('./archive.ts'),
  downtime: () => import('./downtime.ts'),
  memory: () => import('./memory.ts'),
  night: () => import('./night.ts'),
  sftp: () => import('./sftp.ts'),
  step: () => import('./step.ts'),
};

const [name = ''] = process.argv.splice(2, 1);
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench === undefined) {
  console.error(`npm run bench -- ${Object.keys(benches).join('|')} [ARGUMENTS]`);
  process.exitCode = 2;
} else await bench();
