import type { Call } from '#runtime/tool.ts';

/** Of one caller one thing at a time, in the order in which they came. */
export function openQueue() {
  const last = new Map<string, Promise<void>>();
  return async <Value>({ caller }: Call, work: () => Promise<Value>): Promise<Value> => {
    const before = last.get(caller);
    const { promise, resolve } = Promise.withResolvers<void>();
    last.set(caller, promise);
    await before;
    try {
      return await work();
    } finally {
      resolve();
      if (last.get(caller) === promise) last.delete(caller);
    }
  };
}
