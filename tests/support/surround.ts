/** Servers that tests need beside what they try. */
import { afterAll, beforeAll, beforeEach } from 'vitest';

/** For all tests of the file or `describe` that calls it. Where they cannot be had, its tests are skipped, and say so. */
export function surround(missing: string | undefined, start: () => Promise<AsyncDisposable>): void {
  let running: AsyncDisposable | undefined;
  beforeAll(async () => {
    if (missing === undefined) running = await start();
  });
  afterAll(async () => running?.[Symbol.asyncDispose]());
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing);
  });
}
