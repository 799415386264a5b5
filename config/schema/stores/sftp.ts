import { expectedUnseen, strict, text } from '../expect.ts';
import { absolutePath, port, secretRef } from '../scalars.ts';

const hostKeyForm =
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{40,}={0,2}( [^\n]*)?$/;

export function sftpSchema() {
  return strict({
    host: text(/^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/, 'the name or the address of a server').describe(
      'Name or address of the server.',
    ),
    port: port.exactOptional().describe('Default: 22.'),
    user: text(/^[^\s:@/]+$/, 'the name of a user').describe('Who logs in.'),
    key: secretRef.describe('The private key to log in with, without a passphrase.'),
    'host-key': text(
      hostKeyForm,
      'the public key of the server, such as "ssh-ed25519 AAAA…" (from the server itself, or "ssh-keyscan HOST")',
      expectedUnseen,
    ).describe('The public key of the server; no other server is talked to.'),
    directory: absolutePath.describe('Where the sets lie on the server: an existing directory.'),
  }).transform(({ 'host-key': hostKey, port: given, ...raw }) => ({
    ...raw,
    port: given ?? 22,
    hostKey: hostKey.split(' ').slice(0, 2).join(' '),
  }));
}
