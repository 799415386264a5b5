import { join } from 'node:path';

/** Where an agent keeps its journal and its lock. */
export function agentFolder(stateFolder: string, site: string, host: string): string {
  return join(stateFolder, site, host);
}
