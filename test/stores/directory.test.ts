import { conformance } from './conformance.ts';

conformance({
  name: 'a directory',
  missing: null,
  knowsItsRoom: true,
  make: async (cleanup) => ({
    kind: 'directory',
    directory: await cleanup.folder(),
    shared: true,
    keeper: 'mongo-1',
  }),
});
