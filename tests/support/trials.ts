/** `npm run test:faults` tries everything: second makers of the same, and what takes long. */
export const isWhole = process.env['FAULT_TRIALS'] === 'all';
