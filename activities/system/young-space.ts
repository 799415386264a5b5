import { setFlagsFromString } from 'node:v8';

/**
 * Young garbage is cleared as often as at the start, in place of up to 48 MB of it being kept: an agent lives beside the
 * databases of its host. 27 MB less of one that waits, 24 MB less of one that copies, for no time that shows.
 */
export function keepYoungSpaceSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
