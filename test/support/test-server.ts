import type { TimeSkippingTestWorkflowEnvironmentOptions } from '@temporalio/testing';
import { commandOf } from './programs.ts';

/** For `TestWorkflowEnvironment.createTimeSkipping(timeSkipping())`: the test server of the set-up. */
export function timeSkipping(): TimeSkippingTestWorkflowEnvironmentOptions {
  return { server: { executable: { type: 'existing-path', path: testServerPath() } } };
}

/** The executable of Temporal's time-skipping test server. */
export function testServerPath(): string {
  const [path, ...more] = commandOf('test-server');
  if (path === undefined || more.length > 0) throw new Error('the test server must be one executable');
  return path;
}
