/** The paths of notes: places in the store, and never on the disk of the host. */
import { z } from 'zod';

import { composed } from '../names.ts';

export const root = '/memories';

export const pathField = z
  .string()
  .max(512)
  .regex(/^\/memories(?:\/|$)/, 'must begin with /memories')
  .refine(isPlain, 'must not contain "..", ".", "//", "\\", "%", control characters or half characters');

/** One place has one path, in whichever form its characters are written. */
export const canonical = (raw: string) => composed(raw.endsWith('/') ? raw.slice(0, -1) : raw);

/** The folders that a path lies in, from the inside out, without the root. */
export function* foldersOf(place: string): Generator<string> {
  for (let folder = parentOf(place); folder !== root; folder = parentOf(folder)) yield folder;
}

const parentOf = (place: string) => place.slice(0, place.lastIndexOf('/'));

/** No way of writing "up" or of writing one place in two ways; `%` because URL encoding could hide either. */
function isPlain(raw: string): boolean {
  const names = canonical(raw).split('/').slice(1);
  return (
    raw.isWellFormed() &&
    !/[\\%\p{Cc}]/u.test(raw) &&
    names.every((name) => name !== '' && name !== '.' && name !== '..')
  );
}
