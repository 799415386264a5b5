/** What control's worker registers. */
export { procedure } from './procedure.ts';
export { hosts, ledger, plan, sets, setShow, setVerify } from './inspect.ts';
