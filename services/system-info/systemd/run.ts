/** systemctl and journalctl: started without a shell, with each argument by itself, and nothing of our environment. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

import { Absent, optional, readNames, type Host } from '../host.ts';

const deadlineMs = 10_000;
const mostBytes = 8 * 1024 * 1024;

/** @throws Absent where systemd does not run, or the program is not there or fails. */
export async function runProgram(
  host: Host,
  name: 'systemctl' | 'journalctl',
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  if (optional(() => readNames(host, '/run/systemd/system')) === undefined) {
    throw new Absent(
      'systemd does not run here',
      'Ask on a host that systemd manages; get_top_processes works everywhere.',
    );
  }
  const file = host.programs.map((folder) => join(folder, name)).find(isProgram);
  if (file === undefined) throw new Absent(`${name} is not installed`, `Install systemd's programs.`);
  const env = { PATH: host.programs.join(':'), LC_ALL: 'C.UTF-8', SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '' };
  return new Promise((resolve, reject) => {
    const options = {
      env,
      cwd: '/',
      signal,
      timeout: deadlineMs,
      maxBuffer: mostBytes,
      encoding: 'utf8' as const,
    };
    execFile(file, [...args], options, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else if (signal.aborted) reject(signal.reason as Error);
      else reject(new Absent(failureOf(name, error, stderr), remedyOf(stderr)));
    });
  });
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function failureOf(
  name: string,
  error: Error & { killed?: boolean; code?: unknown },
  stderr: string,
): string {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `${name} said more than ${mostBytes} bytes`;
  if (error.killed) return `${name} gave no answer within ${deadlineMs} ms`;
  const said = stderr.trim().split('\n')[0]?.slice(0, 200) ?? '';
  return said === '' ? `${name} failed` : `${name} failed: ${said}`;
}

const remedyOf = (stderr: string) =>
  /permission|insufficient|access denied|not authorized/i.test(stderr)
    ? 'Put the user of this service into the group systemd-journal; the unit of an installed fleet does.'
    : undefined;
