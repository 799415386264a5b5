import type { Encryption } from '../../../model/site.ts';
import { defined, distinct, expectedUnseen, strict, text } from '../expect.ts';
import { absolutePath } from '../scalars.ts';

/** Bech32 of an X25519 key, https://age-encryption.org/v1. What is written there by mistake may be the secret half. */
const publicKey = text(
  /^age1[02-9ac-hj-np-z]{58}$/,
  'a public key of age such as "age1ql3z…" (62 characters; "age-keygen -y KEYFILE" prints it)',
  expectedUnseen,
);

export function encryptSchema() {
  return strict({
    age: distinct(publicKey, 'public keys').describe(
      'Public keys of age: whoever has the other half of one of them can read it.',
    ),
    identity: strict({
      file: absolutePath.describe('Absolute path of the file that age-keygen has made.'),
    })
      .exactOptional()
      .describe(
        'The other half, for drills, restores and the check of what is inside: only where these run.',
      ),
  }).transform(({ age, identity }): Encryption => ({
    recipients: age as [string, ...string[]],
    ...defined({ identity: identity?.file }),
  }));
}
