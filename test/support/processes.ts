export { createCleanup, type Cleanup } from '../../demo/local/cleanup.ts';
export {
  endGroup,
  endOf,
  isAlive,
  sendSignal,
  startProcess,
  type Exit,
  type Started,
  type StartOptions,
} from '../../demo/local/processes.ts';
export { waitFor, type WaitOptions } from '../../demo/local/wait.ts';
