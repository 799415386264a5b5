import * as z from 'zod';
import type { DriverSpec, HostName, Readiness, Service } from '../../model/site.ts';
import { commandDriver } from './drivers/command.ts';
import { systemd } from './drivers/systemd.ts';
import { defined, distinct, oneOf, strict } from './expect.ts';
import { atMostOneKeyOf, oneKeyOf, pickOne, pickOneOrNone } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';
import { absolutePath, argv, duration, httpUrl, tcpAddress } from './scalars.ts';

const STOP_WITHIN_MS = 90_000;
const READY_WITHIN_MS = 300_000;

export function serviceSchema(known: Known) {
  return oneKeyOf(
    strict({
      host: reference('host', known).exactOptional().describe('The one host that it runs on.'),
      hosts: distinct(reference('host', known), 'hosts')
        .exactOptional()
        .describe('The hosts that it runs on; it is stopped on all of them at once.'),
      systemd: systemd.exactOptional().describe('A systemd unit, or { unit, manager: user }.'),
      command: commandDriver
        .exactOptional()
        .describe('Argument arrays that start, stop and observe it, where no service manager does.'),
      'stop-within': duration
        .exactOptional()
        .describe('Longest time from the stop until every process is gone. Default: 90s.'),
      ready: readiness
        .exactOptional()
        .describe("How it shows that it is back. Default: the driver's own word, within 5m."),
      normally: oneOf('running', 'stopped')
        .exactOptional()
        .describe('stopped: it is not expected to run, and finding it so is no warning. Default: running.'),
      data: distinct(absolutePath, 'absolute paths')
        .exactOptional()
        .describe(
          'Where it keeps state: a plan names what of it is in none of the databases that it backs up. Default: nowhere that anybody has said.',
        ),
    }),
    ['host', 'hosts'],
    ['systemd', 'command'],
  ).transform((raw): Service => {
    const driver: DriverSpec = pickOne(raw, { systemd: asIs, command: asIs });
    return {
      hosts: pickOne(raw, { host: (host): Hosts => [host], hosts: (hosts) => hosts as unknown as Hosts }),
      driver,
      stopWithinMs: raw['stop-within'] ?? STOP_WITHIN_MS,
      readyWithinMs: raw.ready?.withinMs ?? READY_WITHIN_MS,
      normally: raw.normally ?? 'running',
      ...defined({ ready: raw.ready?.readiness, data: raw.data }),
    };
  });
}

type Hosts = readonly [HostName, ...HostName[]];

const readiness = atMostOneKeyOf(
  strict({
    tcp: tcpAddress.exactOptional().describe('Ready when this address, as host:port, takes a connection.'),
    http: httpUrl.exactOptional().describe('Ready when a GET of this URL answers with the status.'),
    status: z
      .int({ error: 'expected an HTTP status such as 200' })
      .min(100, { error: 'expected an HTTP status such as 200' })
      .max(599, { error: 'expected an HTTP status such as 200' })
      .exactOptional()
      .describe('With http: the status that means ready. Default: any from 200 to 299.'),
    command: argv.exactOptional().describe('Ready when this command exits with 0.'),
    within: duration.exactOptional().describe('Longest time from the start until it is ready. Default: 5m.'),
  }),
  ['tcp', 'http', 'command'],
)
  .superRefine((raw, context) => {
    if (raw.status !== undefined && raw.http === undefined)
      context.addIssue({ code: 'custom', path: ['status'], message: 'expected status only beside http' });
  })
  .transform((raw) => ({
    withinMs: raw.within,
    readiness: pickOneOrNone<typeof raw, Readiness>(raw, {
      tcp: ({ host, port }) => ({ kind: 'tcp', host, port }),
      http: (url) => ({ kind: 'http', url, ...defined({ status: raw.status }) }),
      command: (command) => ({ kind: 'command', command }),
    }),
  }));

function asIs(driver: DriverSpec): DriverSpec {
  return driver;
}
