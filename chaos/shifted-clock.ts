// Preloaded into an agent: its clock is ahead by the milliseconds in the file CHAOS_CLOCK (less than 0: behind), as if
// somebody set it. Timers and performance.now() go on as they do when a clock is set.
import { readFileSync, writeFileSync } from 'node:fs';

const file = process.env['CHAOS_CLOCK'];
const lookEveryMs = 20;
const RealDate = Date;

if (file !== undefined) {
  let aheadMs = 0;
  const look = () => {
    const text = readFileSync(file, 'utf8').trim();
    if (text === '' || Number(text) === aheadMs) return;
    aheadMs = Number(text);
    writeFileSync(`${file}.seen`, text);
  };
  look();
  setInterval(look, lookEveryMs).unref();
  const now = () => RealDate.now() + aheadMs;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    get: (target, key, receiver) => (key === 'now' ? now : (Reflect.get(target, key, receiver) as unknown)),
  });
}
