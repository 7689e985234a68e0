/**
 * `npm run test:faults` tries everything: second makers of the same, and what takes long. It runs the files that ask this, and
 * those in `tests/faults/` (`vitest.config.ts`).
 */
export const isWhole = process.env['FAULT_TRIALS'] === 'all';
