import { conformance } from './conformance.ts';
import { noSshd, startSshd } from './rigs/sftp.ts';

conformance({
  name: 'an SFTP server',
  missing: noSshd,
  knowsItsRoom: true,
  make: async (cleanup) => (await startSshd(cleanup)).spec,
});
