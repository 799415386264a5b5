import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { searchAttributes } from '../../workflows/messages.ts';
import { coldbackupAt } from '../cli/coldbackup.ts';

/** What no engine is needed for; the file itself is read by a compose parser before a release, see docs/docker-compose.md. */

interface ComposeService {
  readonly image: string;
  readonly user: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly secrets?: readonly string[];
  readonly networks: readonly string[];
  readonly read_only?: boolean;
  readonly restart: string;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly secrets: Readonly<Record<string, { readonly file?: string; readonly environment?: string }>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, object>>;
}

const text = readFileSync('docker-compose.yml', 'utf8');
const dockerfile = readFileSync('Dockerfile', 'utf8');
const { services, secrets, networks, volumes } = parse(text, { merge: true }) as Compose;
const names = Object.keys(services);
const service = (name: string): ComposeService => {
  const found = services[name];
  if (found === undefined) throw new Error(`there is no service ${name}`);
  return found;
};
/** Those that others wait for to end. */
const oneShots = Object.values(services).flatMap(({ depends_on = {} }) =>
  Object.entries(depends_on)
    .filter(([, { condition }]) => condition === 'service_completed_successfully')
    .map(([name]) => name),
);

describe('docker-compose.yml', () => {
  test.each(names)('%s has an image without a registry and with a full version', (name) => {
    expect(service(name).image).toMatch(/^[a-z]+(\/[a-z-]+)?:\d+\.\d+(\.\d+)?(-[a-z]+)?$/);
  });

  test.each(names)('%s runs as an ordinary user, with no capability and no way to gain one', (name) => {
    const { user, cap_drop, security_opt } = service(name);
    expect(user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(cap_drop).toEqual(['ALL']);
    expect(security_opt).toContain('no-new-privileges:true');
  });

  test.each(names.filter((name) => !oneShots.includes(name)))('%s has a health check', (name) => {
    expect(service(name).healthcheck?.test.length).toBeGreaterThan(1);
    expect(service(name).restart).toBe('unless-stopped');
  });

  test('what runs once is started again only when it failed', () => {
    expect(oneShots).toEqual(['search-attributes']);
    for (const name of oneShots) expect(service(name).restart).toBe('on-failure');
  });

  test.each(names)('%s is reached from this machine only', (name) => {
    for (const port of service(name).ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  test('Temporal alone is on the network of the database', () => {
    const onDatabase = names.filter((name) => service(name).networks.includes('database'));
    expect(onDatabase).toEqual(['postgres', 'temporal']);
    expect(networks['database']?.internal).toBe(true);
  });

  test('no environment holds a secret: each comes from a file', () => {
    for (const { environment = {} } of Object.values(services))
      for (const [name, value] of Object.entries(environment))
        if (/pass|pwd|secret|token|key/i.test(name))
          expect([name, value]).toEqual([
            expect.stringMatching(/_FILE$/),
            expect.stringMatching(/^\/run\/secrets\//),
          ]);
    for (const secret of Object.values(secrets)) expect(Object.keys(secret)).toEqual(['file']);
    expect(names.filter((name) => service(name).secrets !== undefined)).toEqual(['postgres', 'temporal']);
  });

  test('every name that a service uses is there', () => {
    for (const { depends_on = {}, networks: on, secrets: needs = [], volumes: mounts = [] } of Object.values(
      services,
    )) {
      for (const name of Object.keys(depends_on)) expect(names).toContain(name);
      for (const name of on) expect(Object.keys(networks)).toContain(name);
      for (const name of needs) expect(Object.keys(secrets)).toContain(name);
      for (const [source = ''] of mounts.map((mount) => mount.split(':')))
        if (source.startsWith('./')) expect([source, existsSync(source)]).toEqual([source, true]);
        else if (!source.startsWith('${')) expect(Object.keys(volumes)).toContain(source);
    }
  });

  test('what has to write its own configuration is all that may write to its image', () => {
    expect(names.filter((name) => service(name).read_only !== true)).toEqual(['temporal', 'ui']);
  });
});

describe('the image of control', () => {
  let help = '';
  beforeAll(async () => {
    help = (await coldbackupAt()('control', '--help')).stdout;
  });

  test('starts a command that the command line has, with options that it knows', () => {
    const { command = [] } = service('control');
    expect(command[0]).toBe('control');
    expect(help).toContain('Usage: coldbackup control [options] <sites>');
    for (const option of command.filter((word) => word.startsWith('--')))
      expect(help).toContain(`${option} <`);
    expect(dockerfile).toContain(`CMD ${JSON.stringify(command).replaceAll(',', ', ')}`);
  });

  test('is built from an exact version, in two stages, and runs as an ordinary user', () => {
    const from = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
    expect(from).toHaveLength(2);
    for (const image of from) expect(image).toMatch(/^node:\d+\.\d+\.\d+-bookworm-slim$/);
    expect(dockerfile).toMatch(/^USER node$/m);
  });

  test('gets nothing into its build but what is named, and no secret', () => {
    const lines = readFileSync('.dockerignore', 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(lines[0]).toBe('*');
    const named = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    for (const name of named) expect([name, existsSync(name)]).toEqual([name, true]);
    expect(named.filter((name) => /secret|\.env|sites/.test(name))).toEqual([]);
    for (const [, source = ''] of dockerfile.matchAll(/^COPY (?!--from)(\S+)/gm))
      if (source !== '.') expect(named).toContain(source);
  });
});

describe('the scripts beside it', () => {
  test('register the search attributes that runs carry', () => {
    const script = readFileSync(join('deploy', 'temporal', 'search-attributes.sh'), 'utf8');
    const [, list = ''] = /^names=\((.*)\)$/m.exec(script) ?? [];
    expect(list.split(' ')).toEqual(Object.values(searchAttributes));
  });
});
