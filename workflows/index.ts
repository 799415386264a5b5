/** What control's worker registers. */
export { procedure } from './procedure.ts';
export { hosts, ledger, plan, prune, setPin, sets, setShow, setVerify } from './inspect.ts';
/** What the watchdog's registers besides. */
export { look } from './look.ts';
export { repair } from './repair.ts';
