import { z } from 'zod';

import { maxPathLength } from './limits.ts';

/** Of file systems. */
const maxNameBytes = 255;

/** Relative to the session's folder, in one spelling: nothing in it leads up or out. */
export const isFilePath = (path: string): boolean =>
  path.length <= maxPathLength &&
  path.isWellFormed() &&
  !path.includes('\0') &&
  path
    .split('/')
    .every(
      (part) => part !== '' && part !== '.' && part !== '..' && Buffer.byteLength(part) <= maxNameBytes,
    ) &&
  !/^\.tmp(?:\/|$)/.test(path);

export const filePath = z
  .string()
  .refine(
    isFilePath,
    `must be the path of a file in the session, such as data/in.csv, of at most ${maxPathLength} characters`,
  )
  .describe("Path in the session's folder, such as data/in.csv.");
