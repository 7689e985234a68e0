/** Loaded before every process of a fleet whose clock jumps: by as many milliseconds as the file `CLOCK_FILE` says. */
import { readFileSync } from 'node:fs';

const file = process.env['CLOCK_FILE'] ?? '';
const realNow = Date.now;
let shiftMs = 0;

function look(): void {
  shiftMs = Number(readFileSync(file, 'utf8'));
}

look();
setInterval(look, 20).unref();
Date.now = () => realNow() + shiftMs;
globalThis.Date = new Proxy(Date, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [Date.now()] : args, newTarget) as object,
});
