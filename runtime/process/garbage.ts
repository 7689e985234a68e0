/** What loading leaves behind, given back to the host. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Late enough that the fleet has started, and that first calls are not held up. */
const afterMs = 3_000;

/**
 * Collects once, soon: modules, their sources and the compiler's own data are garbage after the start, but V8 collects when
 * memory is asked for, and a process that nobody calls asks for none. It takes some 20 ms and a fifth of an idle process.
 */
export function collectSoon(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as NodeJS.GCFunction;
  setFlagsFromString('--no-expose-gc');
  setTimeout(() => collect({ type: 'major', flavor: 'last-resort' }), afterMs).unref();
}
