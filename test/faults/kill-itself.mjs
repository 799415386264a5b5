// Kills this process right before its n-th request that changes what lies in a store on a server.
import { ChildProcess } from 'node:child_process';

const kinds = { sftp, s3, restic };

export async function killBefore(nth, kind) {
  let left = nth;
  await kinds[kind](() => {
    left -= 1;
    if (left === 0) process.kill(process.pid, 'SIGKILL');
  });
}

async function sftp(change) {
  const { SFTP } = (await import('ssh2/lib/protocol/SFTP.js')).default;
  before(SFTP.prototype, 'open', (_, flags) => flags !== 'r' && change());
  for (const name of ['mkdir', 'rename', 'ext_openssh_rename', 'unlink', 'rmdir'])
    before(SFTP.prototype, name, change);
}

async function s3(change) {
  const { S3Client } = await import('@aws-sdk/client-s3');
  before(S3Client.prototype, 'send', (command) => {
    if (!/^(Get|Head|List)/.test(command.constructor.name)) change();
  });
}

async function restic(change) {
  before(ChildProcess.prototype, 'spawn', ({ args }) => {
    if (args[0] === 'restic' && ['backup', 'forget', 'prune'].some((word) => args.includes(word))) change();
  });
}

function before(prototype, name, act) {
  const original = prototype[name];
  prototype[name] = function (...args) {
    act(...args);
    return original.apply(this, args);
  };
}
