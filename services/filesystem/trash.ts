/** Where deleted files wait: `.flotilla-trash` in their root, one folder for each, named after the time. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { trashName } from '#runtime/roots.ts';
import { nowIso } from '#runtime/time.ts';
import type { Call } from '#runtime/tool.ts';

import {
  at,
  codeOf,
  namesIn,
  openFile,
  openFolder,
  openRoot,
  syncFolder,
  type Folder,
  type Place,
  type Spot,
} from './beneath.ts';
import type { Files } from './files.ts';
import type { Target } from './repository.ts';
import { readAll } from './text.ts';
import { moveTo, removeTree } from './write.ts';

/** Milliseconds since the epoch in so many digits that names sort by time. */
const idPattern = /^\d{15}-[0-9a-f]{8}$/;
const dayMs = 86_400_000;
const item = 'item';
const note = 'from.json';

const noteSchema = z.object({
  path: z.string().describe('Where it was.'),
  deleted_at: z.string().describe('When.'),
  deleted_by: z.string().describe('By which token.'),
});

export const trashedSchema = noteSchema.extend({
  id: z.string().describe('The trash_id.'),
  type: z.enum(['directory', 'file', 'link', 'other']).describe('Kind.'),
});
export type Trashed = z.output<typeof trashedSchema>;

/** The trash of a root. @returns `undefined` when there is none and none is to be made. */
async function openTrash(root: string, make: boolean): Promise<Folder | undefined> {
  await using top = await openRoot(root);
  try {
    if (make)
      await mkdir(at(top, trashName), 0o700).catch((error: unknown) => {
        if (codeOf(error) !== 'EEXIST') throw error;
      });
    return await openFolder(top, trashName);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) !== 'ENOTDIR') throw error;
    throw new ToolError('conflict', `${join(root, trashName)} is no folder.`, {
      hint: 'The operator removes what has the name of the trash.',
    });
  }
}

/** Moves what is at a place into the trash, and says where to find it there. */
export async function putInTrash(place: Place & Target, call: Call): Promise<string> {
  const trash = await openTrash(place.root, true);
  if (!trash) throw new ToolError('conflict', 'The trash was removed meanwhile.', { hint: 'Try again.' });
  await using folder = trash;
  const id = `${String(call.nowMs).padStart(15, '0')}-${randomBytes(4).toString('hex')}`;
  await mkdir(at(folder, id), 0o700);
  try {
    await using own = await openFolder(folder, id);
    const origin: z.output<typeof noteSchema> = {
      path: place.path,
      deleted_at: nowIso(call),
      deleted_by: call.caller,
    };
    await using file = await open(
      at(own, note),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    await file.writeFile(JSON.stringify(origin));
    await file.sync();
    await syncFolder(folder);
    const path = join(place.root, trashName, id, item);
    const target = { folder: own, name: item, path, allowsGit: place.allowsGit };
    await moveTo(place, target).catch((error: unknown) => {
      throw codeOf(error) === 'EXDEV' ? elsewhere(place, error) : error;
    });
  } catch (error) {
    // Only what never got there whole: the thing itself may have arrived before something failed.
    if (!(await hasItem(folder, id))) await removeTree(folder, Buffer.from(id));
    throw error;
  }
  return id;
}

const elsewhere = ({ path, root }: Place, cause: unknown) =>
  new ToolError('conflict', `It lies on another file system than the trash of ${root}: ${path}`, {
    hint: 'Only the operator can remove it.',
    cause,
  });

async function hasItem(trash: Folder, id: string): Promise<boolean> {
  await using own = await openFolder(trash, id);
  return (await namesIn(own)).some(({ name }) => name === item);
}

/** What was deleted in a root, the latest first, from below an id. */
export async function* trashed(files: Files, root: string, below: string): AsyncGenerator<Trashed, void> {
  const folder = await openTrash(root, false);
  if (!folder) return;
  await using trash = folder;
  for (const id of (await idsIn(trash)).toReversed()) {
    if (id >= below) continue;
    const found = await lookAt(files, trash, id);
    if (found) yield found;
  }
}

const idsIn = async (trash: Folder) =>
  (await namesIn(trash)).map(({ name }) => name).filter((name) => idPattern.test(name));

/** `undefined` when it is gone, or was never put there whole. */
async function lookAt(files: Files, trash: Folder, id: string): Promise<Trashed | undefined> {
  try {
    await using own = await openFolder(trash, id);
    const entry = (await namesIn(own)).find(({ name }) => name === item);
    if (!entry) return undefined;
    await using file = await openFile(files, { folder: own, name: note, path: join(own.path, note) });
    const origin = noteSchema.parse(JSON.parse((await readAll(file)).toString()));
    return { id, ...origin, type: entry.type };
  } catch (error) {
    const isGone = error instanceof ToolError || codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
    if (isGone || error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Where a deleted thing was. @throws ToolError `not_found`. */
export async function originOf(files: Files, id: string): Promise<string> {
  await using found = await findIn(files, id);
  return found.trashed.path;
}

/** Hands out the place of a deleted thing in the trash, and forgets it when it was taken away. */
export async function restoreFrom<Value>(
  files: Files,
  id: string,
  take: (place: Spot) => Promise<Value>,
): Promise<Value> {
  await using found = await findIn(files, id);
  await using own = await openFolder(found.trash, id);
  const value = await take({ folder: own, name: item, path: join(found.root, trashName, id, item) });
  await removeTree(found.trash, Buffer.from(id));
  return value;
}

async function findIn(files: Files, id: string) {
  for (const root of idPattern.test(id) ? files.roots : []) {
    const trash = await openTrash(root, false);
    if (!trash) continue;
    const trashed = await lookAt(files, trash, id);
    if (trashed) return { root, trash, trashed, [Symbol.asyncDispose]: async () => trash.close() };
    await trash.close();
  }
  throw new ToolError('not_found', `There is nothing with the id ${id} in the trash.`, {
    hint: 'Pass the trash_id that delete_file returned. list_trash shows what there is.',
  });
}

/** Of what is being removed for good, and can no longer be restored. */
const goneSuffix = '.gone';

/** Begins to remove for good what has been in the trash for longer than the setting says. */
export function expireTrash(files: Files, root: string, { nowMs }: Pick<Call, 'nowMs'>): void {
  if (files.trashDays === 0) return;
  files.later(root, async (signal) => {
    const folder = await openTrash(root, false);
    if (!folder) return;
    await using trash = folder;
    const before = nowMs - files.trashDays * dayMs;
    let failed = 0;
    for (const { name } of await namesIn(trash)) {
      if (signal.aborted) return;
      const isLeft = name.endsWith(goneSuffix);
      const id = isLeft ? name.slice(0, -goneSuffix.length) : name;
      if (!idPattern.test(id) || Number(id.slice(0, 15)) >= before) continue;
      const gone = `${id}${goneSuffix}`;
      try {
        // Whoever restores it has it whole, or not at all.
        const hide = async () => rename(at(trash, id), at(trash, gone));
        if (!isLeft) await files.change({ signal, caller: '' }, [], hide, [id]);
        await using own = await openFolder(trash, gone);
        // First the thing, then the note of it: what cannot be removed comes back to the list.
        await removeTree(own, Buffer.from(item), signal);
        await removeTree(trash, Buffer.from(gone), signal);
      } catch {
        if (signal.aborted) return;
        failed += 1;
        await rename(at(trash, gone), at(trash, id)).catch(() => {});
      }
    }
    files.notExpired.set(root, failed);
  });
}
