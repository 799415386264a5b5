import { conformance } from './conformance.ts';
import { noMinio, startMinio } from './rigs/s3.ts';

conformance({
  name: 'an S3 server',
  missing: noMinio,
  knowsItsRoom: false,
  make: async (cleanup) => (await startMinio(cleanup)).spec,
});
