/** Runs the official conformance suite and reads its verdict, check by check. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { temporaryFolder } from './serve.ts';

const binary = fileURLToPath(new URL('../../node_modules/.bin/conformance', import.meta.url));

export interface Scenario {
  readonly name: string;
  readonly ok: boolean;
  readonly passed: number;
}

export interface Verdict {
  /** What the revision requires, in the suite's order. */
  readonly required: readonly Scenario[];
  /** What the suite runs besides: extensions, and what came after the revision. */
  readonly unscored: readonly Scenario[];
  /** The suite's own last line. */
  readonly total: string;
  /** `scenario:check` for each check that did not pass. */
  readonly failedChecks: readonly string[];
}

export async function runSuite(url: string, revision: string, scenario?: string): Promise<Verdict> {
  using folder = temporaryFolder();
  const results = join(folder.path, 'results');
  const selection =
    scenario === undefined
      ? ['--requirements', revision]
      : ['--scenario', scenario, '--spec-version', revision, '--force'];
  const output = await outputOf(
    [binary, 'server', '--url', `${url}/mcp`, ...selection, '-o', results],
    join(folder.path, 'output'),
  );
  const unscoredNames = new Set([...output.matchAll(/^ {2}[✓✗] (\S+) \(/gm)].map(([, name]) => name));
  const scenarios = [...output.matchAll(/^([✓✗]) (\S+): (\d+) passed, \d+ failed/gm)].map(
    ([, mark, name = '', passed]) => ({ name, ok: mark === '✓', passed: Number(passed) }),
  );
  return {
    required: scenarios.filter(({ name }) => !unscoredNames.has(name)),
    unscored: scenarios.filter(({ name }) => unscoredNames.has(name)),
    total: /^Total: .*$/m.exec(output)?.[0] ?? output.slice(-500),
    failedChecks: readFailedChecks(results),
  };
}

/** Into a file, because the suite exits without waiting for a pipe. Its exit code repeats what it prints. */
async function outputOf(args: readonly string[], file: string): Promise<string> {
  const descriptor = openSync(file, 'w');
  try {
    const suite = spawn(process.execPath, args, { stdio: ['ignore', descriptor, descriptor] });
    await once(suite, 'exit');
  } finally {
    closeSync(descriptor);
  }
  return readFileSync(file, 'utf8');
}

function readFailedChecks(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((run) => {
    const scenario = run.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
    const file = join(folder, run, 'checks.json');
    if (!existsSync(file)) return [`${scenario}:did-not-finish`];
    const checks = JSON.parse(readFileSync(file, 'utf8')) as { id: string; status: string }[];
    return checks
      .filter(({ status }) => status === 'FAILURE' || status === 'WARNING')
      .map(({ id }) => `${scenario}:${id}`);
  });
}
