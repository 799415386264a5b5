import type { Command } from 'commander';
import { printJson } from '../terminal.ts';

export function addSchema(program: Command): void {
  program
    .command('schema')
    .summary('print the JSON Schema of site files')
    .description('Prints the JSON Schema of site files, for editors: a description on every key.')
    .addHelpText('after', '\nExample:\n  coldbackup schema > site.schema.json')
    .action(async () => {
      const { siteJsonSchema } = await import('../../config/json-schema.ts');
      printJson(siteJsonSchema());
    });
}
