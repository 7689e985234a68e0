/**
 * What takes its time with texts: edits, patches and differences. It runs in a thread of its own, or at once where it is
 * little; nothing here waits for anything.
 */
import { ToolError } from '#runtime/errors.ts';

import { applyDiff, parseDiff, showDiff, type FilePatch, type Search } from './diff.ts';
import { applyEdits, tooLong, type Edit, type EditRules } from './edit.ts';
import { maxTextBytes } from './limits.ts';
import { asText, etagOf } from './text.ts';

export interface EditJob {
  readonly kind: 'edit';
  readonly path: string;
  readonly contents: Uint8Array;
  readonly edits: readonly Edit[];
  readonly rules: EditRules;
}

export interface Edited {
  /** Nothing where all stays as it is. */
  readonly contents: Uint8Array | undefined;
  readonly diff: string;
  readonly etag: string;
}

interface ReadPatchJob {
  readonly kind: 'read patch';
  readonly text: string;
}

/** What a patch says of a file, without its lines. */
export type PatchHead = Omit<FilePatch, 'hunks'> & { readonly hunkCount: number };

interface ApplyPatchJob {
  readonly kind: 'apply patch';
  /** Of the file in the patch that was read last. */
  readonly index: number;
  readonly path: string;
  readonly contents: Uint8Array;
}

export type Job = EditJob | ReadPatchJob | ApplyPatchJob;

/** What comes of each. */
export interface Outcomes {
  readonly edit: Edited;
  readonly 'read patch': readonly PatchHead[];
  /** The new contents; `null` where the patch does not fit. */
  readonly 'apply patch': Uint8Array | null;
}

export type Tell = (done: number, total: number) => void;

export function edit({ path, contents, edits, rules }: EditJob, tell: Tell): Edited {
  const text = asText(Buffer.from(contents), path);
  const edited = applyEdits(text, edits, rules, (done) => tell(done, edits.length));
  const after = Buffer.from(edited);
  if (after.length > maxTextBytes) throw tooLong();
  const diff = showDiff(path, text, edited);
  return { contents: edited === text ? undefined : after, diff, etag: etagOf(after) };
}

/** A patch that is read once, and applied to one file after the other. */
export class Patch {
  readonly #files: readonly FilePatch[];
  readonly #search: Search = { comparisons: 0 };

  constructor(text: string) {
    this.#files = parseDiff(text).filter(({ hunks, isGit }) => hunks.length > 0 || isGit);
  }

  heads(): PatchHead[] {
    return this.#files.map(({ hunks, ...head }) => ({ ...head, hunkCount: hunks.length }));
  }

  apply({ index, path, contents }: ApplyPatchJob): Uint8Array | null {
    const patch = this.#files[index];
    if (!patch) throw new RangeError(`The patch has no file ${index}`);
    const text = applyDiff(asText(Buffer.from(contents), path), patch, this.#search);
    if (text === undefined) return null;
    const after = Buffer.from(text);
    if (after.length > maxTextBytes) {
      throw new ToolError('too_large', `The patch would make a file of ${after.length} bytes.`, {
        hint: `A file has at most ${maxTextBytes} bytes. Nothing was changed.`,
      });
    }
    return after;
  }
}
