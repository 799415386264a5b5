import type { Command } from 'commander';
import type { LoadedSite } from '../../config/load.ts';
import { formatProblems, SiteFileError } from '../../config/problem.ts';
import { endWith } from '../ending.ts';
import { messageOf } from '../errors.ts';
import { count } from '../screens/text.ts';
import { print, printJson } from '../terminal.ts';

export function addCheck(program: Command): void {
  program
    .command('check')
    .summary('find every problem of a site file')
    .description(
      'Finds all problems of a site file at once, each with its place. Exits 2 when there are any.',
    )
    .argument('<files...>')
    .option('--json', 'print the problems')
    .addHelpText('after', '\nExample:\n  coldbackup check examples/vitam.yaml')
    .action(async (files: readonly string[], { json = false }: { readonly json?: boolean }) => {
      const checked = await Promise.all(files.map(check));
      if (json)
        printJson(checked.map(({ file, problems }) => ({ file, ok: problems.length === 0, problems })));
      else for (const one of checked) print(textOf(one));
      if (checked.some(({ problems }) => problems.length > 0)) endWith('usage');
    });
}

type Checked = { readonly file: string } & (
  { readonly loaded: LoadedSite; readonly problems: readonly [] } | Pick<SiteFileError, 'problems'>
);

async function check(file: string): Promise<Checked> {
  const { loadSite } = await import('../../config/load.ts');
  try {
    return { file, loaded: await loadSite(file), problems: [] };
  } catch (error) {
    if (error instanceof SiteFileError) return { file, problems: error.problems };
    return { file, problems: [{ file, line: 1, column: 1, key: '', message: messageOf(error) }] };
  }
}

function textOf(checked: Checked): string {
  if (!('loaded' in checked))
    return `${formatProblems(checked.problems)}\n${checked.file}: ${count(checked.problems.length, 'problem')}`;
  const { site, hosts, services, databases, procedures } = checked.loaded.site;
  const parts = [
    count(hosts.length, 'host'),
    count(Object.keys(services).length, 'service'),
    count(Object.keys(databases).length, 'database'),
    count(Object.keys(procedures).length, 'procedure'),
  ];
  return `${checked.file}: ok. Site ${site}: ${parts.join(', ')}`;
}
