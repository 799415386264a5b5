import { defined, expectedUnseen, named, strict, text } from '../expect.ts';
import { absolutePath, secretRef } from '../scalars.ts';

/** A login in it would be shown in messages and reports. */
const elsewhere = /^(sftp|rest|s3|b2|azure|gs|swift|rclone):(?![^\s]*:\/\/[^\s/]*:[^\s/]*@)[^\s]+$/;
const onDisk = /^\/(?!.*(^|\/)\.\.?(\/|$))[^\0]*$/;

/** What coldbackup gives to restic itself, and what would make it start something else. */
const variable = /^(?!(PATH|HOME|LD_|RESTIC_(REPOSITORY|PASSWORD)))[A-Z][A-Z0-9_]*$/;

export function resticSchema() {
  return strict({
    repository: text(
      new RegExp(`${onDisk.source}|${elsewhere.source}`),
      'an absolute path, or a repository as "restic -r" takes it, such as "sftp:backup@nas:/vitam", without a password in it',
      expectedUnseen,
    ).describe('An existing repository: an absolute path, or as "restic -r" takes it.'),
    password: secretRef.describe('The password of the repository.'),
    environment: named(
      text(variable, 'the name of a variable that restic reads, such as "AWS_ACCESS_KEY_ID"'),
      secretRef,
    )
      .exactOptional()
      .describe('What the way to the repository needs, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.'),
    cache: absolutePath
      .exactOptional()
      .describe(
        'A folder on each host where restic keeps what it asks for often. Left out: it asks the repository each time.',
      ),
  }).transform(({ repository, password, environment, cache }) => ({
    repository: repository.startsWith('/') ? tidyPath(repository) : repository,
    password,
    environment: environment ?? {},
    ...defined({ cache }),
  }));
}

function tidyPath(path: string): string {
  return path.replace(/\/+/g, '/').replace(/(.)\/$/, '$1');
}
