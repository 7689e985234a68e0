/** What the monitors of drift watch, in the order in which a model keeps them. Times and prices by their logarithm. */
export const metrics = ['success', 'brier', 'latency', 'cost'] as const;
