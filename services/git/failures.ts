/** What git says on its standard error, as an error for the model that called. */
import { constants } from 'node:os';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { kernelHint } from '#runtime/sandbox.ts';

import { maxCpuSeconds, maxErrorLength } from './limits.ts';
import type { Finished } from './run-git.ts';

const memoryHint =
  'Ask for less: fewer paths, a simpler pattern. The operator sets what one git may take with FLOTILLA_GIT_MEMORY_MB.';

export const withoutCredentials = (text: string): string => text.replaceAll(/\/\/[^\s/]*@/g, '//');

type Kind = readonly [pattern: RegExp, code: Exclude<ErrorCode, 'internal'>, hint: string];

export const lockHint =
  'Another git works in this repository: try again. If none does, its owner removes the lock file that a crash left.';

/** The first that fits. */
const kinds: readonly Kind[] = [
  [
    /' exists; cannot create '/,
    'conflict',
    'Of two names, one cannot lie below the other, as a file cannot lie below a file. Choose another name, or delete the one that is there.',
  ],
  [/\.lock': File exists|could not lock|cannot lock ref/i, 'conflict', lockHint],
  [
    /failed to push|push failed/,
    'conflict',
    'The remote has commits that this branch lacks: git_pull first. It may also take no pushes to what it has checked out.',
  ],
  [
    /transport '[^']*' not allowed/,
    'forbidden',
    'Network protocols are closed: the operator opens them with FLOTILLA_GIT_PROTOCOLS.',
  ],
  [/dubious ownership/, 'forbidden', 'The other repository belongs to another user of this host.'],
  [
    /could not resolve host|unable to access|could not read (from remote|username|password)|authentication failed|terminal prompts disabled|connection (refused|timed out|reset)|early EOF|hung up/i,
    'unavailable',
    'The remote does not answer, or takes no credentials of the operator (FLOTILLA_GIT_CREDENTIALS). Try again.',
  ],
  [/out of memory|memory exhausted|cannot allocate memory/i, 'too_large', memoryHint],
  [/no space left|disk quota/i, 'unavailable', 'Free space on the disk.'],
  [/permission denied|read-only file system/i, 'forbidden', 'The service may not write there.'],
  [
    /did not match any|unknown revision|bad revision|not a valid object name|invalid object name|does not exist in|no such (path|ref|remote|file)|not a valid ref|not a valid reference|no path in|has only \d+ lines?|bad source|not under version control/i,
    'not_found',
    'See git_status, git_branch or git_ls_files for what there is.',
  ],
  [
    /ignored by one of your \.gitignore/,
    'invalid_input',
    'Pass force: true to add what .gitignore leaves out.',
  ],
  [
    /outside repository|beyond a symbolic link|not a valid (branch|tag) name|invalid regex|invalid regular expression|Unmatched|invalid path/i,
    'invalid_input',
    'Correct the argument.',
  ],
];

const otherwise: Kind = [/^/, 'conflict', 'The state of the repository does not allow this: see git_status.'];

/** What git wrote is not trusted, and a URL in it may hold a password. Some commands say on standard output what keeps them. */
export function failure({ errors, output }: Pick<Finished, 'errors' | 'output'>): ToolError {
  const said = errors.trim() === '' ? output.toString() : errors;
  const lines = withoutCredentials(said)
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('hint:'));
  const message = lines.join('\n').slice(0, maxErrorLength).toWellFormed() || 'Git failed without a word.';
  const [, code, hint] = kinds.find(([pattern]) => pattern.test(said)) ?? otherwise;
  return new ToolError(code, message, { hint });
}

/** What the kernel hands on to a program has a limit: 128 kB for each word, and 2 MB for all. */
export const tooMuchSaid = () =>
  new ToolError('too_large', 'This call would tell git more at once than the system hands on.', {
    hint: 'Name fewer or shorter paths, or write a shorter message.',
  });

/** What bubblewrap and a shell add to the number of the signal that ended a program. */
const signalBase = 128;

/**
 * Whether git ran, and came to an end of its own; what its exit code says is for the caller.
 *
 * @throws ToolError where the sandbox could not be made, or a limit ended git.
 */
export function requireOwnEnd(code: number | null, signal: NodeJS.Signals | null, errors: string): void {
  if (/^(bwrap|prlimit): .*Argument list too long/.test(errors)) throw tooMuchSaid();
  if (/^(bwrap|prlimit): /.test(errors)) {
    throw new ToolError(
      'unavailable',
      `The sandbox of git cannot be made: ${errors.split('\n', 1)[0] ?? ''}`,
      {
        hint: kernelHint,
      },
    );
  }
  const number = signal === null ? (code ?? 0) - signalBase : constants.signals[signal];
  if (number === constants.signals.SIGXCPU) {
    throw new ToolError('timeout', `Git was stopped after ${maxCpuSeconds} s of processor time.`, {
      hint: 'Ask for less at once.',
    });
  }
  if (number === constants.signals.SIGKILL || number === constants.signals.SIGSEGV) {
    throw new ToolError('too_large', 'Git was ended by the system, which it asked for too much memory.', {
      hint: memoryHint,
    });
  }
}
