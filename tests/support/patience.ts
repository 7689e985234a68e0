/** What is waited for comes on a busy machine too: one second, which Vitest gives it, is often not enough there. */
import { vi } from 'vitest';

const { waitFor } = vi;

vi.waitFor = async (callback, options = {}) =>
  waitFor(callback, { timeout: 90_000, ...(typeof options === 'number' ? { timeout: options } : options) });
