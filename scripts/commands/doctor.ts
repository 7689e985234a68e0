/** `flotilla doctor`: what would keep a fleet from starting or from working, each with its remedy. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { promisify, styleText } from 'node:util';

import { allProcesses, catalogue, type CatalogueEntry } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { checkDatabase } from '#runtime/database.ts';
import { exitCodes, exitOf } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';
import { pathOf, whyNoSandbox, type Maker } from '#runtime/sandbox.ts';
import { firstTokenFile, TokenRegistry } from '#runtime/access/tokens.ts';

import { secretsName, upstreamsName } from '../../gateway/foreign/upstreams-file.ts';
import { entriesNamed, look } from '../environment.ts';
import { isHostsFleet } from '../host/systemctl.ts';
import { ownCommand } from '../own-command.ts';
import { isThere, whyUnreachable } from '../reach.ts';
import { fleetOn } from '../running-fleet.ts';
import { startChecks } from '../start-checks.ts';

interface Finding {
  readonly subject: string;
  /** What is to know when all is well. */
  readonly detail?: string;
  /** `undefined` when all is well. */
  readonly trouble?: string;
  readonly remedy?: string;
  /** The fleet works, but not as well as it could. */
  readonly minor?: true;
  /** Of the host's distribution, what would mend it. */
  readonly packages?: readonly string[];
}

const oldestNode = 24;
const leastFreeBytes = 1024 ** 3;

export async function doctor(environment: Environment, { fix }: { readonly fix?: true } = {}): Promise<void> {
  const packages = await examine(environment);
  if (!fix) return;
  if (packages.length === 0) process.stdout.write('There is nothing to install.\n');
  else if (await installed(packages)) await examine(environment);
}

/** @returns the packages that would mend what was found. */
async function examine(environment: Environment): Promise<readonly string[]> {
  const host = hostOf(environment);
  // Whoever may not look into the data cannot say whose a port is.
  const runs = host && (await runningHere(host).catch(() => undefined));
  const findings = [checkNode(), ...(await checkStart(environment, host, runs))];
  if (host) {
    const dataRoot = resolve(host.FLOTILLA_DATA);
    findings.push(...tried('data', () => checkData(dataRoot, runs ?? new Set())));
    findings.push(checkSpace(dataRoot), ...tried('secrets', () => checkSecrets(dataRoot)));
  }
  findings.push(...(await checkTools()), checkPython(), await checkSandbox());
  for (const { subject, detail, trouble, remedy, minor } of findings) {
    const mark =
      trouble === undefined
        ? styleText('green', '✓')
        : minor
          ? styleText('yellow', '!')
          : styleText('red', '✗');
    const words = trouble ?? detail;
    process.stdout.write(`${mark} ${subject}${words === undefined ? '' : `: ${words}`}\n`);
    if (remedy !== undefined) process.stdout.write(`    ${remedy}\n`);
  }
  const isBad = findings.some(({ trouble, minor }) => trouble !== undefined && !minor);
  process.exitCode = isBad ? exitCodes.failed : exitCodes.ok;
  return [...new Set(findings.flatMap((finding) => finding.packages ?? []))];
}

/** Asks first: nothing is installed that nobody wanted. @returns whether it was. */
async function installed(packages: readonly string[]): Promise<boolean> {
  const command = ['apt-get', 'install', '--yes', '--no-install-recommends', ...packages] as const;
  const isPossible = existsSync('/usr/bin/apt-get') && process.getuid?.() === 0 && process.stdin.isTTY;
  if (!isPossible) {
    process.stdout.write(`To install what is missing, as root on Debian: ${command.join(' ')}\n`);
    return false;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const said = await terminal.question(`Install ${packages.join(', ')} with apt-get? [y/N] `);
  terminal.close();
  if (!/^y(?:es)?$/i.test(said.trim())) return false;
  const [file, ...args] = command;
  return spawnSync(file, args, { stdio: 'inherit' }).status === 0;
}

/** What cannot be looked at is a finding too, and the others are told all the same. */
function tried(subject: string, check: () => readonly Finding[]): readonly Finding[] {
  try {
    return check();
  } catch (error) {
    return [{ subject, trouble: lineOf(error) }];
  }
}

const lineOf = (error: unknown) => exitOf(error)?.line ?? whyUnreachable(error) ?? String(error);

/** `undefined` for settings that cannot be read: that is among the findings. */
function hostOf(environment: Environment): HostSettings | undefined {
  try {
    return parseHostSettings(environment);
  } catch {
    return undefined;
  }
}

/** What `start` checks. What runs already is looked at instead: its ports are taken by itself. */
async function checkStart(
  environment: Environment,
  host: HostSettings | undefined,
  runs: ReadonlySet<string> | undefined,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const check of startChecks(catalogue, environment)) {
    const { subject, portOf, rootsOf } = check;
    if (portOf !== undefined && host && !runs) continue;
    if (portOf !== undefined && runs?.has(portOf)) {
      findings.push({ subject: `${subject} is its own` });
      continue;
    }
    if (rootsOf?.some((name) => runs?.has(name))) {
      findings.push({ subject, detail: 'those that the running fleet was started with' });
      continue;
    }
    try {
      await check.run();
      if (check.tell) {
        const { detail, hint, warnings } = check.tell();
        findings.push({ subject, detail, ...(hint !== undefined && { remedy: hint }) });
        for (const trouble of warnings) findings.push({ subject, trouble, minor: true });
      } else if (!findings.some((finding) => finding.subject === subject)) {
        findings.push({ subject }); // one line for all that are good
      }
    } catch (error) {
      findings.push({ subject, trouble: lineOf(error) });
      if (!host) break; // without settings of the host, every other check would say the same
    }
  }
  return findings;
}

/** The processes of the fleet that works on this data, and answer. */
async function runningHere(host: HostSettings): Promise<Set<string>> {
  const dataRoot = resolve(host.FLOTILLA_DATA);
  const fleet = fleetOn(dataRoot);
  const names = fleet?.names ?? (isHostsFleet(dataRoot) ? catalogue.map(({ name }) => name as string) : []);
  const looks = await Promise.all(
    entriesNamed(names).map(async (entry) => ({ entry, result: (await look(entry, host)).result })),
  );
  return new Set(looks.filter(({ result }) => result !== 'down').map(({ entry }) => entry.name));
}

/** What start opens, looked at in the same way. A process that runs has opened its own. */
function checkData(dataRoot: string, runs: ReadonlySet<string>): Finding[] {
  const troubles: Finding[] = [];
  let sound = 0;
  for (const { name, data } of allProcesses) {
    const folder = join(dataRoot, name);
    if (data === null || runs.has(name) || !isThere(folder)) continue;
    const names = readdirSync(folder).map((file) => file.replace(/-wal$/, ''));
    for (const file of new Set(names.filter((one) => one.endsWith('.db')))) {
      try {
        checkDatabase(join(folder, file));
        sound += 1;
      } catch (error) {
        troubles.push({ subject: `data of ${name}`, trouble: lineOf(error) });
      }
    }
  }
  return sound > 0 ? [{ subject: 'databases', detail: `${sound} checked and whole` }, ...troubles] : troubles;
}

function checkNode(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  const subject = `Node ${process.versions.node}`;
  return major >= oldestNode
    ? { subject }
    : {
        subject,
        trouble: `Flotilla needs ${oldestNode} or newer`,
        remedy: 'Run "npm ci", which brings the right one, and start through npm or scripts/flotilla.',
      };
}

function checkSpace(dataRoot: string): Finding {
  const folder = [dataRoot, dirname(dataRoot)].find((one) => existsSync(one)) ?? '/';
  const { bavail, bsize } = statfsSync(folder);
  const subject = `${((bavail * bsize) / 1024 ** 3).toFixed(1)} GiB free`;
  return bavail * bsize >= leastFreeBytes
    ? { subject }
    : {
        subject,
        trouble: 'less than 1 GiB',
        remedy: 'Free space: services refuse writes when the disk is full.',
        minor: true,
      };
}

/** Who may read and change the files of the data folder that say who calls, and what is started. */
export function checkSecrets(dataRoot: string): Finding[] {
  // Secrets are their owner's alone; the list of hashes may be shared with a group of processes. Who may write which servers of
  // others are mounted says what is started.
  const files = [
    { file: firstTokenFile(dataRoot), others: 0o077, mode: '600' },
    { file: join(dataRoot, 'tokens.json'), others: 0o007, mode: '600' },
    { file: join(dataRoot, upstreamsName), others: 0o027, mode: 'g-w,o=' },
    { file: join(dataRoot, secretsName), others: 0o077, mode: '600' },
  ].filter(({ file }) => existsSync(file));
  if (files.length === 0) return [{ subject: 'tokens: made at the first start' }];
  const findings = files.map(({ file, others, mode }): Finding => {
    const open = statSync(file).mode & others;
    const may = (open & 0o022) === 0 ? 'read' : 'change';
    return open !== 0
      ? { subject: file, trouble: `others on this host can ${may} it`, remedy: `chmod ${mode} ${file}` }
      : { subject: file };
  });
  const first = firstTokenFile(dataRoot);
  if (existsSync(first) && !isGood(readFileSync(first, 'utf8').trim(), dataRoot)) {
    const remedy = `Make another one (${ownCommand()} token create NAME --allow '*') and put it into FLOTILLA_TOKEN, or into ${first}.`;
    findings.push({ subject: `the token in ${first}`, trouble: 'revoked or expired', remedy, minor: true });
  }
  return findings;
}

/** A list that cannot be read is told by the check of the tokens. */
function isGood(secret: string, dataRoot: string): boolean {
  try {
    const tokens = new TokenRegistry(dataRoot);
    return tokens.verify(secret, Date.now()) !== undefined;
  } catch {
    return true;
  }
}

/** Those that need it, by the list. */
const sandboxed = (catalogue as readonly CatalogueEntry[]).filter(({ sandboxes }) => sandboxes);

/** As each of them makes it: with the rights of root, where this is root, and without. */
const whyNoneBy = async (maker: Maker) =>
  (await whyNoSandbox({ maker })) ?? (await whyNoSandbox({ maker, asNobody: true }));

async function checkSandbox(): Promise<Finding> {
  const subject = `sandbox for ${sandboxed.map(({ name }) => name).join(' and ')}`;
  const reason = await whyNoneBy('bwrap');
  if (reason === undefined) return { subject };
  const packages = pathOf('bwrap') === undefined ? { packages: ['bubblewrap'] } : {};
  if ((await whyNoneBy('unshare')) === undefined) {
    const remedy =
      'It is made by util-linux and Perl, which takes somewhat longer: apt-get install bubblewrap.';
    return { subject, trouble: 'bubblewrap does not work here', remedy, minor: true, ...packages };
  }
  const remedy =
    'Without it their tools refuse to work, unless FLOTILLA_GIT_SANDBOX=off and FLOTILLA_PYTHON_ISOLATION=basic.';
  return { subject, trouble: reason, remedy, ...packages };
}

function checkPython(): Finding {
  const found = pathOf('python3');
  if (found !== undefined) return { subject: 'python3', detail: found };
  const remedy = 'Install it for the service python: apt-get install python3.';
  return { subject: 'python3', trouble: 'not found', remedy, minor: true, packages: ['python3'] };
}

/** Programs of the host that some part of the fleet calls. */
const tools = [
  { name: 'git', args: ['--version'], neededFor: 'the service git, and upgrading Flotilla' },
  { name: 'npm', args: ['--version'], neededFor: 'installing and upgrading Flotilla' },
] as const;

async function checkTools(): Promise<Finding[]> {
  return Promise.all(
    tools.map(async ({ name, args, neededFor }): Promise<Finding> => {
      try {
        const { stdout } = await promisify(execFile)(name, args);
        return { subject: `${name} ${stdout.trim().replace(/^\D*/, '')}` };
      } catch {
        return {
          subject: name,
          trouble: 'not found',
          remedy: `Install it: it is needed for ${neededFor}.`,
          minor: true,
          packages: [name],
        };
      }
    }),
  );
}
