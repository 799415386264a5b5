import type { Site } from '../../model/site.ts';
import type { Finding } from '../problem.ts';
import { backupRules } from './backups.ts';
import { copyRules } from './copies.ts';
import { drillRules } from './drill.ts';
import { lengthRules } from './length.ts';
import { limitRules } from './limits.ts';
import { memberRules } from './members.ts';
import { nameRules } from './names.ts';
import { placeRules } from './places.ts';
import { stopRules } from './stops.ts';
import { timeRules } from './times.ts';

/** What no single entry can be asked: the rules that join several places of the file. Unknown names are skipped. */
export function siteRules(site: Site): readonly Finding[] {
  return [
    memberRules,
    copyRules,
    placeRules,
    stopRules,
    backupRules,
    timeRules,
    limitRules,
    drillRules,
    lengthRules,
    nameRules,
  ].flatMap((rule) => rule(site));
}
