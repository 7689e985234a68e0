/** What most tools say of themselves to clients: nothing here reaches beyond the host. */
import type { Hints } from './tool.ts';

const inside = { readOnly: false, openWorld: false };

export const reading: Hints = { ...inside, readOnly: true, destructive: false, idempotent: true };
export const adding: Hints = { ...inside, destructive: false, idempotent: false };
/** What is there already stays as it is, so that the same again adds nothing. */
export const completing: Hints = { ...inside, destructive: false, idempotent: true };
/** Brings about a state that the same again leaves as it is. */
export const replacing: Hints = { ...inside, destructive: true, idempotent: true };
export const reshaping: Hints = { ...inside, destructive: true, idempotent: false };
