/** Files that read_log_file may read: those that are followed, and what lies below the roots of the service. */
import { constants } from 'node:fs';
import { open, readlink, realpath } from 'node:fs/promises';
import { isAbsolute, matchesGlob } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import { contains } from '#runtime/roots.ts';

import { maxTailBytes } from './limits.ts';

export interface Readable {
  /** Real paths. */
  readonly roots: readonly string[];
  /** As the settings name them: paths, or patterns. */
  readonly files: readonly string[];
}

/** The end of a text that may be long. */
export interface Ending {
  readonly bytes: Buffer;
  /** Whether something stands before it. */
  readonly hasMore: boolean;
}

/** The last bytes. @throws ToolError `forbidden` for a file beside those that may be read, `not_found`, `invalid_input`. */
export async function endOf({ roots, files }: Readable, path: string): Promise<Ending> {
  if (!isAbsolute(path)) throw new ToolError('invalid_input', 'log_path must be an absolute path.');
  const real = await realpath(path).catch(() => undefined);
  // Whether a file that may not be read is there is nobody's business.
  const isAllowed = (one: string) =>
    roots.some((root) => contains(root, one)) || files.some((file) => one === file || matchesGlob(one, file));
  // The operator may name a link, and means what it leads to then.
  const isNamed = files.includes(path);
  if (!isNamed && !isAllowed(real ?? path)) throw refused();
  if (real === undefined) throw new ToolError('not_found', `There is no file ${path}.`);
  let handle;
  try {
    // A pipe must not hold the call.
    handle = await open(
      real,
      constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | constants.O_NOFOLLOW,
    );
  } catch (error) {
    throw unreadable(path, (error as NodeJS.ErrnoException).code ?? '');
  }
  await using file = handle;
  // A folder on the way may have become a link meanwhile: what was opened is what counts.
  const opened = await readlink(`/proc/self/fd/${file.fd}`);
  if (isNamed ? opened !== real : !isAllowed(opened)) throw refused();
  const stats = await file.stat();
  if (!stats.isFile()) throw new ToolError('invalid_input', `${path} is no file.`);
  const from = Math.max(0, stats.size - maxTailBytes);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(stats.size - from), 0, stats.size - from, from);
  return { bytes: buffer.subarray(0, bytesRead), hasMore: from > 0 };
}

const refused = () =>
  new ToolError('forbidden', 'This file may not be read.', {
    hint: 'Files that are followed (FLOTILLA_LOGGING_FILES), and those below FLOTILLA_LOGGING_ROOTS, may be read; the operator sets them.',
  });

const unreadable = (path: string, code: string) =>
  code === 'EACCES' || code === 'EPERM'
    ? new ToolError('forbidden', `${path} may not be read by this service.`, {
        hint: 'The operator gives its user the right to read it.',
      })
    : new ToolError('not_found', `${path} cannot be opened (${code}).`);
