/** What control's worker registers. */
export { procedure } from './procedure.ts';
export { drill } from './drill.ts';
export { restore } from './restore.ts';
export { verify } from './verify.ts';
export {
  drills,
  hosts,
  ledger,
  plan,
  prune,
  restorePlan,
  setPin,
  sets,
  setProofs,
  setRemove,
  setShow,
  setVerify,
} from './inspect.ts';
/** What the watchdog's registers besides. */
export { look } from './look.ts';
export { repair } from './repair.ts';
