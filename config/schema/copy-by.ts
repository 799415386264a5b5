import type { CopyWay } from '../../model/site.ts';
import { oneOf } from './expect.ts';

export function copyBySchema(description: string) {
  return oneOf('auto', 'reflink', 'btrfs', 'copy', 'stream').exactOptional().describe(description);
}

/** `stream` is what is done without the key. */
export function copiedBy(asked: CopyWay | 'auto' | 'stream' | undefined): {
  readonly copyBy?: CopyWay | 'auto';
} {
  return asked === undefined || asked === 'stream' ? {} : { copyBy: asked };
}
