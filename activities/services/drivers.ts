import type { Service } from '../../model/site.ts';
import { createCommandDriver } from './command.ts';
import type { ServiceDriver } from './driver.ts';
import { connectManager } from './systemctl.ts';
import type { ManagerOptions } from './systemctl.ts';
import { createSystemdDriver } from './systemd.ts';

/** The driver that the site file names for a service. */
export function createDriver(service: Pick<Service, 'driver'>, options: ManagerOptions = {}): ServiceDriver {
  const { driver } = service;
  switch (driver.kind) {
    case 'systemd':
      return createSystemdDriver(driver.unit, connectManager(driver.manager, options));
    case 'command':
      return createCommandDriver(driver);
  }
}
