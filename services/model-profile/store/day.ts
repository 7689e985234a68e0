/** Sums are by day of UTC, counted from 1970. */
export const dayMs = 86_400_000;
export const dayOf = (atMs: number): number => Math.floor(atMs / dayMs);
export const dateOf = (day: number): string => new Date(day * dayMs).toISOString().slice(0, 10);
