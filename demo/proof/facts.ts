import type { Report } from '../../model/progress.ts';
import type { Site } from '../../model/site.ts';
import type { DemoCluster } from '../cluster.ts';
import type { Places } from '../places.ts';
import type { Vitam } from '../vitam.ts';
import type { Before } from './before.ts';

/** What a proof looks at. */
export interface Facts {
  readonly places: Places;
  readonly site: Site;
  readonly cluster: DemoCluster;
  readonly vitam: Vitam;
  readonly before: Before;
  readonly report: Report;
  readonly coldbackup: readonly string[];
  readonly address: string;
}
