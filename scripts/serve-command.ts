/** How each process of the fleet is started: by the supervisor, the units, tests and measurements. */
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('serve.ts', import.meta.url));

/**
 * Young objects that live on are copied while nobody is served: with the 16 to 32 MB that V8 takes for them, up to 30 ms for the arguments
 * of one long call. With 4 MB it is hardly ever more than 6 ms, more often.
 */
export const heapFlags: readonly string[] = ['--max-semi-space-size=4'];

/** The program and its arguments. @param before flags of Node for this one. */
export const serveCommand = (name: string, before: readonly string[] = []): readonly string[] => [
  process.execPath,
  ...heapFlags,
  ...before,
  script,
  name,
];
