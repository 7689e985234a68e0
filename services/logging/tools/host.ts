import { spawn } from 'node:child_process';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import { cutAt, pageBytes } from '#runtime/page.ts';
import { textOf } from '#runtime/readable.ts';
import { withoutSecrets } from '#runtime/redaction.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { withoutEscapes } from '../intake/clean.ts';
import { endOf, type Ending } from '../files.ts';
import { defaultTailLines, maxPathLength, maxTailBytes, maxTailLines } from '../limits.ts';
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

/** The newest lines that fit into an answer. */
function linesIn({ bytes, hasMore }: Ending, most: number) {
  // What is cut off at its beginning is no line, unless there is no other.
  const start = hasMore ? bytes.subarray(0, -1).indexOf(0x0a) + 1 : 0;
  const whole = bytes.subarray(start, bytes.at(-1) === 0x0a ? -1 : undefined);
  // A key may stand over several lines.
  const text = withoutSecrets(withoutEscapes(textOf(whole).text));
  const all = whole.length === 0 ? [] : text.split('\n');
  let from = all.length;
  for (let room = pageBytes; from > 0 && all.length - from < most; from -= 1) {
    room -= Buffer.byteLength(all[from - 1] ?? '') + 1;
    if (room < 0 && from < all.length) break;
  }
  const lines = all
    .slice(from)
    .map((line) => (line.length > pageBytes ? `${line.slice(0, cutAt(line, pageBytes))}…` : line));
  return { lines, count: lines.length, ...((hasMore || from > 0) && { truncated: true as const }) };
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
    return linesIn(await journalctl(args, call), lines);
  },
});

async function journalctl(args: readonly string[], { signal }: Pick<Call, 'signal'>): Promise<Ending> {
  const child = spawn('journalctl', args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  let bytes: Buffer = Buffer.alloc(0);
  let hasMore = false;
  let said = '';
  child.stdout.on('data', (part: Buffer) => {
    bytes = Buffer.concat([bytes, part]);
    hasMore ||= bytes.length > maxTailBytes;
    bytes = bytes.subarray(-maxTailBytes);
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
  if (code !== 0) {
    throw new ToolError('unavailable', 'The journal cannot be read.', {
      hint: 'The operator lets this service read it: its user belongs in the group systemd-journal.',
      reason: said.trim(),
    });
  }
  return { bytes, hasMore };
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

  async handler({ log_path: path, lines }, { files }: Logging) {
    return linesIn(await endOf(files, path), lines);
  },
});
