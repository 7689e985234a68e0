/**
 * Why a process is not well: what the last probe said, what systemd or the supervisor knows of it, and its last log lines.
 * All of it is text of others: bounded, without control characters, without what looks like a secret.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { processLogFile } from '#runtime/account/log.ts';
import { readFleetNote } from '#runtime/data/fleet-note.ts';
import { redacted } from '#runtime/redaction.ts';

import { linesIn, tailOf } from '../log-lines.ts';
import { plainText } from '#runtime/plain-text.ts';

export interface Evidence {
  readonly process: string;
  /** What the last probe said; `null` where it said nothing. */
  readonly probe: string | null;
  /** Restarts and exit status, in words; `null` where nobody knows of any. */
  readonly manager: string | null;
  /** The last lines that it logged, oldest first. */
  readonly lines: readonly string[];
  /** What could not be found, and why; `null` when all was. */
  readonly note: string | null;
}

/** How systemd's programs are found and asked; another one in tests. */
export interface Surroundings {
  readonly dataRoot: string;
  readonly programs: readonly string[];
  /** There where systemd runs this host. */
  readonly systemdFolder: string;
  /** How long each is waited for. */
  readonly deadlineMs: number;
}

export const hostSurroundings = (dataRoot: string): Surroundings => ({
  dataRoot,
  programs: ['/usr/bin', '/bin', '/usr/local/bin'],
  systemdFolder: '/run/systemd/system',
  deadlineMs: 3_000,
});

const mostBytes = 1024 * 1024;
const mostLines = 10;
const mostLineLength = 300;
/** Of one alert. */
const mostProcesses = 3;

interface Probed {
  readonly name: string;
  readonly reason: string | null;
}

/** Never throws, and takes a few seconds at most: an alert must not wait for it. */
export async function evidenceOf(
  probed: readonly Probed[],
  surroundings: Surroundings,
): Promise<readonly Evidence[]> {
  return Promise.all(
    probed.slice(0, mostProcesses).map(async ({ name, reason }): Promise<Evidence> => {
      const found = await (existsSync(join(surroundings.dataRoot, 'fleet.json'))
        ? bySupervisor(name, surroundings)
        : bySystemd(name, surroundings));
      return { process: name, probe: reason === null ? null : shown(reason), ...found };
    }),
  );
}

type Managed = Omit<Evidence, 'process' | 'probe'>;

/** A fleet in the foreground: its note, and the files of its logs. */
async function bySupervisor(name: string, { dataRoot }: Surroundings): Promise<Managed> {
  const note = readFleetNote(dataRoot);
  const [fall, pid] = [note?.falls[name], note?.processes[name]];
  const manager = [
    ...(typeof pid === 'number' ? [`runs with pid ${pid}`] : pid === null ? ['does not run'] : []),
    ...(fall
      ? [
          `fell ${times(fall.count)}, last at ${new Date(fall.lastAtMs).toISOString()}: ${shown(fall.reason)}`,
          ...(fall.isFinal ? ['it is not started again'] : []),
        ]
      : []),
  ].join('; ');
  try {
    const text = await tailOf(processLogFile(dataRoot, name));
    return { manager: manager || null, lines: lastLines(text), note: null };
  } catch (error) {
    return {
      manager: manager || null,
      lines: [],
      note: `no log lines: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`,
    };
  }
}

const properties = [
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'NRestarts',
  'ExecMainCode',
  'ExecMainStatus',
  'ExecMainExitTimestamp',
];

async function bySystemd(name: string, surroundings: Surroundings): Promise<Managed> {
  if (!existsSync(surroundings.systemdFolder))
    return { manager: null, lines: [], note: 'neither systemd nor "flotilla start" runs it here' };
  const unit = `flotilla@${name}.service`;
  const notes: string[] = [];
  const ask = async (program: string, args: readonly string[]) =>
    run(program, args, surroundings).catch((error: unknown) => {
      notes.push((error as Error).message);
      return '';
    });
  const [state, journal] = await Promise.all([
    ask('systemctl', ['show', '--no-pager', `--property=${properties.join(',')}`, '--', unit]),
    ask('journalctl', [`--unit=${unit}`, `--lines=${mostLines}`, '--output=cat', '--no-pager', '--quiet']),
  ]);
  return {
    manager: unitInWords(state),
    lines: lastLines(journal),
    note: notes.length === 0 ? null : notes.map(shown).join('; '),
  };
}

/** https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html: codes of waitid(2). */
const endedBy: Readonly<Record<string, string>> = {
  '1': 'exit code',
  '2': 'signal',
  '3': 'signal (with a core)',
};

function unitInWords(text: string): string | null {
  const values = Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
    }),
  ) as Readonly<Record<string, string | undefined>>;
  const {
    LoadState,
    ActiveState,
    SubState,
    Result,
    NRestarts,
    ExecMainCode = '0',
    ExecMainStatus,
    ExecMainExitTimestamp,
  } = values;
  if (ActiveState === undefined) return null;
  if (LoadState !== 'loaded') return `its unit is ${LoadState}`;
  const how = endedBy[ExecMainCode];
  return [
    `${ActiveState} (${SubState})`,
    ...(Result === 'success' ? [] : [`result ${Result}`]),
    `restarted ${times(Number(NRestarts))}`,
    ...(how === undefined
      ? []
      : [
          `ended with ${how} ${ExecMainStatus}${ExecMainExitTimestamp ? ` at ${ExecMainExitTimestamp}` : ''}`,
        ]),
  ].join(', ');
}

const times = (count: number) => (count === 1 ? 'once' : `${count} times`);

const lastLines = (text: string): readonly string[] =>
  linesIn(text)
    .slice(-mostLines)
    .map(({ time, level, text: words }) =>
      plainText([time, level, words].filter((part) => part !== null).join(' '), mostLineLength),
    );

/** As it may be shown to anybody who gets an alert. */
export const shown = (text: string): string =>
  plainText(redacted(text.slice(0, 8 * mostLineLength)), mostLineLength);

/** Without a shell, and with nothing of our environment. */
async function run(
  program: string,
  args: readonly string[],
  { programs, deadlineMs }: Surroundings,
): Promise<string> {
  const file = programs.map((folder) => join(folder, program)).find((path) => existsSync(path));
  if (file === undefined) throw new Error(`${program} is not installed`);
  const env = { PATH: programs.join(':'), LC_ALL: 'C.UTF-8', SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '' };
  const options = {
    env,
    cwd: '/',
    timeout: deadlineMs,
    killSignal: 'SIGKILL' as const,
    maxBuffer: mostBytes,
    encoding: 'utf8' as const,
  };
  return new Promise((resolve, reject) => {
    execFile(file, [...args], options, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else if (error.killed) reject(new Error(`${program} gave no answer within ${deadlineMs} ms`));
      else reject(new Error(`${program} failed: ${stderr.split('\n')[0] || 'it said nothing'}`));
    });
  });
}
