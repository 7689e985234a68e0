/** What is waited for comes on a busy machine too: one second, which Vitest gives it, is often not enough there, nor a few that a test names. */
import { vi } from 'vitest';

const { waitFor } = vi;
const leastMs = 90_000;

vi.waitFor = async (callback, options = {}) => {
  const given = typeof options === 'number' ? { timeout: options } : options;
  return waitFor(callback, { ...given, timeout: Math.max(given.timeout ?? 0, leastMs) });
};
