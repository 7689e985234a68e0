/** What the tools of this service have in common beside their fields: the wording of what the system refuses. */
import type { z } from 'zod';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { defineTool, type Call, type Reply, type Tool } from '#runtime/tool.ts';

import type { Files } from './files.ts';
import type { Now } from './handle.ts';

/** What the system refuses, in words that a caller can act on. Anything else is a bug. */
const obstacles: Readonly<Record<string, readonly [Exclude<ErrorCode, 'internal'>, string, string]>> = {
  EACCES: ['forbidden', 'Permission denied', 'The operator changes the owner or mode.'],
  EPERM: ['forbidden', 'Operation not permitted', 'The operator changes the owner or mode.'],
  EROFS: ['forbidden', 'The file system is read-only', 'The operator mounts it for writing.'],
  ENOENT: ['not_found', 'ENOENT: no such file or directory', 'Something was removed meanwhile: look again.'],
  ENOTDIR: ['conflict', 'A folder was replaced meanwhile', 'Look again.'],
  EISDIR: ['conflict', 'A file was replaced by a folder meanwhile', 'Look again.'],
  ELOOP: ['conflict', 'Something was replaced by a link meanwhile', 'Look again.'],
  EEXIST: ['conflict', 'Something of this name exists', 'Look again.'],
  ENOTEMPTY: ['conflict', 'The folder is not empty', 'Look again.'],
  EINVAL: ['invalid_input', 'The file system does not allow this', 'Choose another name or place.'],
  EOPNOTSUPP: ['forbidden', 'The file system cannot do this', 'Choose another place.'],
  ENXIO: ['forbidden', 'Access denied - not a regular file', 'Name a file.'],
  ENAMETOOLONG: ['invalid_input', 'A name is too long', 'A name has at most 255 bytes.'],
  EXDEV: ['conflict', 'The two places lie on different file systems', 'Use copy_file, then delete_file.'],
  ENOSPC: ['unavailable', 'The disk is full', 'Free space and try again.'],
  EDQUOT: ['unavailable', 'The disk quota is used up', 'Free space and try again.'],
  EFBIG: ['too_large', 'The file would be larger than the file system takes', 'Write less.'],
  EIO: ['unavailable', 'The disk does not answer', 'Try again.'],
  ESTALE: ['unavailable', 'The file system does not answer', 'Try again.'],
  EBUSY: [
    'conflict',
    'It is in use, or a file system is mounted there',
    'Choose another, or try again later.',
  ],
  EAGAIN: ['unavailable', 'Another program holds the file', 'Try again.'],
  ETXTBSY: ['unavailable', 'The program is running', 'Try again.'],
  EMFILE: ['unavailable', 'Too many files are open', 'Try again.'],
  ENFILE: ['unavailable', 'Too many files are open', 'Try again.'],
};

/** `given` is what the caller named; the system may mean something in it. */
export function inWords(error: unknown, given: string): unknown {
  if (!(error instanceof Error) || error instanceof ToolError) return error;
  const { code: systemCode = '', path = '' } = error as NodeJS.ErrnoException;
  const obstacle = obstacles[systemCode];
  if (!obstacle) return error;
  const [code, message, hint] = obstacle;
  const name = /^\/proc\/self\/fd\/\d+\/(.+)/s.exec(path)?.[1];
  const where = name === undefined || given.endsWith(name) ? given : `${given} (at ${name})`;
  return new ToolError(code, `${message}: ${where}`, { hint, cause: error });
}

/** A tool over files: what the system refuses becomes a failure of the call, with a remedy. */
export function fileTool<Input extends z.ZodObject, Output extends z.ZodObject>({
  isLong = false,
  ...tool
}: Omit<Tool<Input, Output, Files>, 'handler'> & {
  /** It goes over many files, or large ones: then it takes one of the places for that. */
  readonly isLong?: boolean;
  handler(args: z.output<Input>, files: Files, call: Call): Now<Told<Output>>;
}): Tool<Input, Output, Files> {
  return defineTool({
    ...tool,
    handler(args, files: Files, call) {
      const fail = (error: unknown) => {
        const { path, source, destination } = args as Partial<Record<string, string>>;
        const given = [path ?? source, destination].filter((name) => name !== undefined).join(' to ');
        throw inWords(error, given);
      };
      try {
        const answer = isLong
          ? files.takeLong(call, async () => tool.handler(args, files, call))
          : tool.handler(args, files, call);
        return answer instanceof Promise ? answer.catch(fail) : answer;
      } catch (error) {
        return fail(error);
      }
    },
  });
}

type Told<Output extends z.ZodObject> = z.input<Output> | Reply<z.input<Output>>;

/** Why a file that was listed could not be opened: bytes that are no UTF-8 are lost from a name, which then leads nowhere. */
export const goneReason = (name: string) =>
  name.includes('\ufffd') ? 'with a name that is not UTF-8' : 'removed meanwhile';
