import * as z from 'zod';
import { defined, expected, oneOf, strict, text } from '../expect.ts';
import { days, httpUrl, secretRef } from '../scalars.ts';

export function s3Schema() {
  return strict({
    endpoint: httpUrl.describe('The server, such as https://s3.example.org.'),
    bucket: text(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'the name of a bucket').describe(
      'An existing bucket.',
    ),
    region: text(/^[a-z0-9-]+$/, 'a region such as "eu-west-3"')
      .exactOptional()
      .describe('Default: us-east-1, which servers that know no regions take.'),
    prefix: text(/^(?!.*(^|\/)\.{0,2}(\/|$))[^\0]+$/, 'names joined by slashes, such as "backups/vitam"')
      .exactOptional()
      .describe('Before every name in the bucket. Left out: nothing.'),
    'access-key': secretRef.describe('The id of the access key.'),
    'secret-key': secretRef.describe('The secret of the access key.'),
    'path-style': z
      .boolean({ error: expected('true or false') })
      .exactOptional()
      .describe('The bucket is named in the path (true, the default) or in the name of the host (false).'),
    'object-lock': strict({
      mode: oneOf('governance', 'compliance').describe(
        'Whether somebody with a special permission may remove it earlier, or nobody.',
      ),
      days: days.describe('For so long: "30d".'),
    })
      .exactOptional()
      .describe('Nobody removes what was written before its time; the bucket must have object lock.'),
  }).transform((raw) => ({
    endpoint: raw.endpoint,
    bucket: raw.bucket,
    region: raw.region ?? 'us-east-1',
    prefix: raw.prefix === undefined ? '' : `${raw.prefix}/`,
    accessKey: raw['access-key'],
    secretKey: raw['secret-key'],
    pathStyle: raw['path-style'] ?? true,
    ...defined({ objectLock: raw['object-lock'] }),
  }));
}
