/** Where a list goes on, newest first. */
import { z } from 'zod';

export const listPosition = z.tuple([z.string(), z.string()]);
/** Later than every time. */
export const listEnd: [string, string] = ['~', '~'];
