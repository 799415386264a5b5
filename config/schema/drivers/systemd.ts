import * as z from 'zod';
import { oneOf, strict, text } from '../expect.ts';

export interface SystemdUnit {
  readonly kind: 'systemd';
  readonly unit: string;
  readonly manager: 'system' | 'user';
}

const unit = text(/^[A-Za-z0-9:_.\\@-]+\.service$/, 'a systemd unit such as "mongod.service"');

/** `systemd: unit`, or `systemd: { unit, manager }`. */
export const systemd = z
  .union(
    [
      unit,
      strict({
        unit: unit.describe('Name of the unit, with .service.'),
        manager: oneOf('system', 'user')
          .exactOptional()
          .describe('Whose unit it is: of the system (default), or of the user that the agent runs as.'),
      }),
    ],
    { error: 'expected a systemd unit such as "mongod.service", or { unit, manager: user }' },
  )
  .transform((raw): SystemdUnit =>
    typeof raw === 'string'
      ? { kind: 'systemd', unit: raw, manager: 'system' }
      : { kind: 'systemd', unit: raw.unit, manager: raw.manager ?? 'system' },
  );
