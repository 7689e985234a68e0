/** Changes of many files at once: planned, staged beside the files, then made one after the other; taken back on a failure. */
import { unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { at, hold, missing } from './beneath.ts';
import type { PatchHead } from './craft.ts';
import type { Files, Touched } from './files.ts';
import { maxPatchedBytes, maxPatchedFiles } from './limits.ts';
import { locateTarget, type Target } from './repository.ts';
import { putInTrash, restoreFrom } from './trash.ts';
import {
  ensureFolder,
  isUnchanged,
  moveTo,
  removeFolders,
  replace,
  snapshotOf,
  stage,
  versionOf,
  type Snapshot,
  type Staged,
  type Version,
} from './write.ts';
import { teller } from './work.ts';
import { inWorkshop } from './workshop.ts';

export const actions = ['created', 'modified', 'deleted', 'renamed'] as const;

/** What is to be done with one file. */
export interface Step {
  readonly action: (typeof actions)[number];
  readonly path: string;
  /** Where a renamed file goes. */
  readonly newPath: string | undefined;
  readonly before: Snapshot | undefined;
  /** `undefined` when they stay as they are. */
  readonly contents: Buffer | undefined;
  readonly mode: number | undefined;
}

/** Reads the files and makes their new contents; changes nothing. */
export async function planPatch(files: Files, base: string, text: string, call: Call): Promise<Step[]> {
  return inWorkshop(call, async (ask) => {
    const heads = await ask({ kind: 'read patch', text });
    if (heads.length === 0) throw refused('There is no change in the patch.');
    if (heads.length > maxPatchedFiles) throw tooLarge(`is for ${heads.length} files`);
    const steps: Step[] = [];
    let bytes = 0;
    for (const [index, head] of heads.entries()) {
      const step = await stepOf(files, base, head, async (path, before) => {
        if (head.hunkCount === 0) return undefined;
        const contents = before?.contents ?? Buffer.alloc(0);
        const patched = await ask({ kind: 'apply patch', index, path, contents });
        if (!patched) throw noFit(path);
        return Buffer.from(patched.buffer, patched.byteOffset, patched.byteLength);
      });
      bytes += (step.before?.contents.length ?? 0) + (step.contents?.length ?? 0);
      if (bytes > maxPatchedBytes) throw tooLarge(`is for files of more than ${maxPatchedBytes} bytes`);
      steps.push(step);
    }
    requireApart(steps);
    return steps;
  });
}

/** Each file occurs once, and none lies in another. */
function requireApart(steps: readonly Step[]): void {
  const touched = steps.flatMap(({ path, newPath }) => (newPath === undefined ? [path] : [path, newPath]));
  const twice = touched.find((path, index) => touched.indexOf(path) < index);
  if (twice !== undefined) throw refused(`The patch changes a file twice: ${twice}`);
  const created = steps.flatMap(({ action, path, newPath }) => newPath ?? (action === 'created' ? path : []));
  for (const path of created) {
    const file = created.find((other) => path.startsWith(`${other}/`));
    if (file !== undefined) throw refused(`The patch makes a file, and something in it: ${file}`);
  }
}

export const touchedBy = (steps: readonly Step[]): readonly Touched[] =>
  steps
    .flatMap(({ path, newPath }) => [path, newPath])
    .flatMap((path) => (path === undefined ? [] : [[path, { follow: false }] as const]));

/** Whether all is still as it was when the patch was planned. */
export async function isStillFit(files: Files, steps: readonly Step[]): Promise<boolean> {
  for (const { path, newPath, before } of steps) {
    if (!(await isAsBefore(files, path, before?.version))) return false;
    if (newPath !== undefined && !(await isAsBefore(files, newPath, undefined))) return false;
  }
  return true;
}

async function isAsBefore(files: Files, path: string, version: Version | undefined): Promise<boolean> {
  try {
    await using place = await locateTarget(files, path, { follow: false });
    return await isUnchanged(place, version);
  } catch (error) {
    if (error instanceof ToolError && error.code === 'not_found') return version === undefined;
    throw error;
  }
}

const refused = (message: string) =>
  new ToolError('invalid_input', message, {
    hint: 'Pass a unified diff of text files, as git diff makes it. Nothing was changed.',
  });

const tooLarge = (what: string) =>
  new ToolError('too_large', `The patch ${what}.`, {
    hint: `Apply it in parts: at most ${maxPatchedFiles} files and ${maxPatchedBytes} bytes. Nothing was changed.`,
  });

const nowhere = '/dev/null';

async function stepOf(
  files: Files,
  base: string,
  patch: PatchHead,
  patched: (path: string, before: Snapshot | undefined) => Promise<Buffer | undefined>,
): Promise<Step> {
  if (patch.isBinary)
    throw refused(`The patch of a binary file cannot be applied: ${patch.newFileName ?? ''}`);
  const [oldName, newName] = namesOf(patch);
  const isNew = patch.isCreate ?? oldName === nowhere;
  const isGone = patch.isDelete ?? newName === nowhere;
  if (isNew || patch.isCopy) {
    const { path, before } = await look(files, base, newName, false);
    if (before) throw exists(path);
    const source = patch.isCopy ? await look(files, base, oldName, false) : undefined;
    if (source && !source.before) throw missing(source.path);
    const contents = (await patched(path, source?.before)) ?? source?.before?.contents ?? Buffer.alloc(0);
    return {
      action: 'created',
      path,
      newPath: undefined,
      before: undefined,
      contents,
      mode: modeOf(patch, 0o644),
    };
  }
  const isRenamed = patch.isRename === true;
  const { path, before } = await look(files, base, oldName, !isGone && !isRenamed);
  if (!before) throw missing(path);
  const contents = await patched(path, before);
  if (isGone) {
    if (patch.hunkCount > 0 && contents?.length !== 0) throw noFit(path);
    return { action: 'deleted', path, newPath: undefined, before, contents: undefined, mode: undefined };
  }
  const target = isRenamed ? await look(files, base, newName, false) : undefined;
  if (target?.before) throw exists(target.path);
  const mode = Number(before.version.mode);
  const newMode = modeOf(patch, mode);
  const changed = contents ?? (newMode === mode ? undefined : before.contents);
  return {
    action: target ? 'renamed' : 'modified',
    path,
    newPath: target?.path,
    before,
    contents: changed,
    mode: newMode,
  };
}

const exists = (path: string) =>
  new ToolError('conflict', `Destination already exists: ${path}`, {
    hint: 'The patch makes this file: delete_file what is there first. Nothing was changed.',
  });

const noFit = (path: string) =>
  new ToolError('conflict', `The patch does not fit this file: ${path}`, {
    hint: 'Read the file, and make the patch for what is there now. Nothing was changed.',
  });

const isPrefixed = (name: string, prefix: string) => name === nowhere || name.startsWith(prefix);

/** As git writes them, names begin with a letter and a slash that are no part of them. */
function namesOf({ oldFileName = '', newFileName = '', isGit }: PatchHead): readonly [string, string] {
  const strip = isGit || (isPrefixed(oldFileName, 'a/') && isPrefixed(newFileName, 'b/'));
  const names = [oldFileName, newFileName].map((name) =>
    strip && name !== nowhere ? name.replace(/^[a-z]\//, '') : name,
  );
  const [oldName = '', newName = ''] = names;
  if (oldName === '' || newName === '' || names.some((name) => name.includes('\0'))) {
    throw refused('A file in the patch has no name.');
  }
  return [oldName, newName];
}

/** Of a mode, git only means whether the file may be run: by those who may read it. */
function modeOf({ newMode }: PatchHead, mode: number): number {
  if (newMode === undefined) return mode;
  if (!/^100[0-7]{3}$/.test(newMode))
    throw refused(`The patch makes something that is no regular file (mode ${newMode}).`);
  const isRun = (Number.parseInt(newMode.slice(-3), 8) & 0o100) !== 0;
  return isRun ? mode | ((mode & 0o444) >> 2) : mode & ~0o111;
}

/** What is at a name now; nothing, when folders above it are missing too. */
async function look(files: Files, base: string, name: string, follow: boolean) {
  const given = resolve(base, name);
  try {
    await using place = await locateTarget(files, given, { follow });
    return { path: place.path, before: await snapshotOf(files, place) };
  } catch (error) {
    if (error instanceof ToolError && error.code === 'not_found') return { path: given, before: undefined };
    throw error;
  }
}

/** All steps or none. A crash in the middle leaves the files that were done by then: each of them whole. */
export async function carryOut(files: Files, steps: readonly Step[], call: Call): Promise<void> {
  await using held = new AsyncDisposableStack();
  const staged: Staged[] = [];
  const undo: (() => Promise<unknown>)[] = [];
  try {
    const commits: (() => Promise<void>)[] = [];
    const tell = teller(call);
    for (const step of steps) {
      commits.push(await prepare(files, step, call, { held, staged, undo }));
      tell(commits.length, 2 * steps.length, 'steps done');
    }
    call.signal.throwIfAborted();
    for (const [index, commit] of commits.entries()) {
      await commit();
      tell(commits.length + index + 1, 2 * steps.length, 'steps done');
    }
  } catch (error) {
    for (const one of staged) await one.discard();
    await takeBack(undo, error);
    throw error;
  }
}

interface Progress {
  readonly held: AsyncDisposableStack;
  readonly staged: Staged[];
  /** In the order in which things were done. */
  readonly undo: (() => Promise<unknown>)[];
}

/** Everything that can fail for want of room or rights is done here; what is left to do is to rename. */
async function prepare(
  files: Files,
  { action, path, newPath, before, contents, mode }: Step,
  call: Call,
  { held, staged, undo }: Progress,
): Promise<() => Promise<void>> {
  const found = async (path: string) => held.use(await locateTarget(files, path, { follow: false }));
  if (action === 'created' || newPath !== undefined) {
    const made = await ensureFolder(files, dirname(newPath ?? path));
    undo.push(async () => removeFolders(files, made));
  }
  const place = await found(path);
  if (action === 'deleted') {
    return async () => {
      const id = await putInTrash(place, call);
      undo.push(async () => restoreFrom(files, id, async (item) => moveTo(item, place)));
    };
  }
  const target = newPath === undefined ? undefined : await found(newPath);
  const contentsStaged = contents && (await stage(place, contents, before?.version, mode));
  if (contentsStaged) staged.push(contentsStaged);
  return async () => {
    if (contentsStaged) {
      await contentsStaged.commit();
      undo.push(async () => (before ? putBack(place, before) : unlink(at(place.folder, place.name))));
    }
    if (target) {
      await moveTo(place, target);
      undo.push(async () => moveTo(target, place));
    }
  };
}

async function putBack(place: Target, { contents, version }: Snapshot): Promise<void> {
  await using held = await hold(place);
  const now = await versionOf(held);
  await replace(place, contents, { ...now, mode: version.mode }, { signal: AbortSignal.any([]) });
}

async function takeBack(undo: readonly (() => Promise<unknown>)[], cause: unknown): Promise<void> {
  let failed = 0;
  for (const step of undo.toReversed()) {
    await step().catch(() => {
      failed += 1;
    });
  }
  if (failed === 0) return;
  throw new ToolError(
    'unavailable',
    `The patch failed in the middle, and ${failed} steps could not be taken back.`,
    {
      hint: 'Compare the files of the patch with what they were.',
      cause,
    },
  );
}
