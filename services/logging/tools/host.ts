import { spawn } from 'node:child_process';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import { pageBytes } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { textOf, withoutEscapes, withoutSecrets } from '../intake/clean.ts';
import { tailOf } from '../files.ts';
import { defaultTailLines, maxPathLength, maxTailLines } from '../limits.ts';
import type { Logging } from '../logging.ts';
import { momentIn, whenField, whenForm } from '../when.ts';

const linesField = z
  .int()
  .min(1)
  .max(maxTailLines)
  .default(defaultTailLines)
  .describe('Most lines, the newest.');
const outFields = {
  lines: z.array(z.string()).describe('The oldest first.'),
  count: z.int().describe('Of these lines.'),
  truncated: z.literal(true).optional().describe('There are earlier lines.'),
};

const priorities = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;
const transports = ['audit', 'driver', 'journal', 'kernel', 'stdout', 'syslog'] as const;

/** A unit's name, as systemd allows them; it can be no option of a program. */
const unitForm = /^[\w:@][\w:.@\\-]{0,255}$/;
const mostOutputBytes = 16 * 1024 * 1024;

/** The newest lines that fit into an answer. */
function newestFitting(lines: readonly string[], hasMore: boolean) {
  let bytes = 0;
  let from = lines.length;
  while (from > 0) {
    bytes += Buffer.byteLength(lines[from - 1] ?? '') + 1;
    if (bytes > pageBytes && from < lines.length) break;
    from -= 1;
  }
  const shown = lines
    .slice(from)
    .map((line) => (line.length > pageBytes ? `${line.slice(0, pageBytes)}…`.toWellFormed() : line));
  return { lines: shown, count: shown.length, ...((hasMore || from > 0) && { truncated: true as const }) };
}

const textOfLines = ({
  lines,
  truncated,
}: {
  readonly lines: readonly string[];
  readonly truncated?: true | undefined;
}) =>
  lines.length === 0
    ? 'No entries were found.'
    : `${truncated ? '[earlier lines are left out]\n' : ''}${lines.join('\n')}`;

export const getJournalLogs = defineTool({
  name: 'get_journal_logs',
  title: 'Get Journal Logs',
  description:
    "Read the host's systemd journal directly. search_logs finds more where the journal is stored here.",
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    unit: z
      .string()
      .regex(unitForm, 'must be the name of a unit, such as ssh.service')
      .optional()
      .describe('Only of this unit.'),
    priority: z.enum(priorities).optional().describe('This priority and the more serious ones.'),
    since: whenField(`From then on: ${whenForm}.`),
    transport: z.enum(transports).optional().describe('How it came into the journal.'),
    lines: linesField,
  }),
  output: z.object(outFields),
  text: textOfLines,

  async handler({ unit, priority, since, transport, lines }, _deps: Logging, call) {
    const sinceMs = since === undefined ? undefined : momentIn(since, call.nowMs);
    const args = [
      '--no-pager',
      '--quiet',
      '--output=short-iso',
      `--lines=${lines}`,
      ...(unit === undefined ? [] : [`--unit=${unit}`]),
      ...(priority === undefined ? [] : [`--priority=${priority}`]),
      ...(sinceMs === undefined ? [] : [`--since=@${Math.floor(sinceMs / 1_000)}`]),
      ...(transport === undefined ? [] : [`_TRANSPORT=${transport}`]),
    ];
    const output = await journalctl(args, call);
    const all = output.split('\n').filter((line) => line !== '');
    return newestFitting(
      all.map((line) => withoutSecrets(withoutEscapes(line))),
      false,
    );
  },
});

async function journalctl(args: readonly string[], { signal }: Pick<Call, 'signal'>): Promise<string> {
  const child = spawn('journalctl', args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  const parts: Buffer[] = [];
  let bytes = 0;
  let said = '';
  child.stdout.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes <= mostOutputBytes) parts.push(part);
    else child.kill();
  });
  child.stderr.on('data', (part: Buffer) => (said = (said + part.toString()).slice(-500)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new ToolError(
      'unavailable',
      isMissing ? 'This host has no journal of systemd.' : 'The journal cannot be read.',
      {
        hint: 'search_logs finds what is stored here.',
        cause: error,
      },
    );
  });
  if (bytes > mostOutputBytes)
    throw new ToolError('too_large', 'The entries have too many bytes.', { hint: 'Ask for fewer lines.' });
  if (code !== 0) {
    throw new ToolError('unavailable', 'The journal cannot be read.', {
      hint: 'The operator lets this service read it: its user belongs in the group systemd-journal.',
      reason: said.trim(),
    });
  }
  return textOf(Buffer.concat(parts)).text;
}

export const readLogFile = defineTool({
  name: 'read_log_file',
  title: 'Read Log File',
  description: 'Read the last lines of a log file that the operator allows. Secrets are redacted.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    log_path: z
      .string()
      .min(1)
      .max(maxPathLength)
      .refine((path) => !path.includes('\0') && path.isWellFormed(), 'must be well-formed, without NUL')
      .describe('Absolute path.'),
    lines: linesField,
  }),
  output: z.object(outFields),
  text: textOfLines,

  async handler({ log_path: path, lines }, { files }: Logging, { signal }) {
    const tail = await tailOf(files, path, lines, signal);
    return newestFitting(tail.lines, tail.hasMore);
  },
});
