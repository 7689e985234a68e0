/** `flotilla doctor`: what would keep a fleet from starting or from working, each with its remedy. */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify, styleText } from 'node:util';

import { catalogue } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { exitCodes, exitOf } from '#runtime/errors.ts';
import { parseHostSettings, parseServiceSettings, type Environment } from '#runtime/process/settings.ts';
import { whyNoSandbox } from '#runtime/sandbox.ts';
import { firstTokenFile, TokenRegistry } from '#runtime/access/tokens.ts';

import { look } from '../environment.ts';
import { loadService } from '../load.ts';
import { isFree } from '../ports.ts';

interface Finding {
  readonly subject: string;
  /** `undefined` when all is well. */
  readonly trouble?: string;
  readonly remedy?: string;
  /** The fleet works, but not as well as it could. */
  readonly minor?: true;
}

const oldestNode = 24;
const leastFreeBytes = 1024 ** 3;

export async function doctor(environment: Environment): Promise<void> {
  const findings = [checkNode(), ...(await checkSettings(environment))];
  let host: HostSettings | undefined;
  try {
    host = parseHostSettings(environment);
  } catch {
    // Already among the findings; what follows needs the settings.
  }
  if (host) {
    const dataRoot = resolve(host.FLOTILLA_DATA);
    findings.push(
      checkFolder(dataRoot),
      checkSpace(dataRoot),
      ...checkSecrets(dataRoot),
      ...(await checkPorts(host)),
    );
  }
  findings.push(...(await checkTools()), await checkSandbox());
  for (const { subject, trouble, remedy, minor } of findings) {
    const mark =
      trouble === undefined
        ? styleText('green', '✓')
        : minor
          ? styleText('yellow', '!')
          : styleText('red', '✗');
    process.stdout.write(`${mark} ${subject}${trouble === undefined ? '' : `: ${trouble}`}\n`);
    if (remedy !== undefined) process.stdout.write(`    ${remedy}\n`);
  }
  if (findings.some(({ trouble, minor }) => trouble !== undefined && !minor))
    process.exitCode = exitCodes.failed;
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

async function checkSettings(environment: Environment): Promise<Finding[]> {
  const findings: Finding[] = [];
  const attempt = (subject: string, parse: () => void) => {
    try {
      parse();
    } catch (error) {
      findings.push({
        subject,
        trouble: exitOf(error)?.line ?? String(error),
        remedy: 'Mend it in the environment or in .env.',
      });
    }
  };
  attempt('settings', () => parseHostSettings(environment));
  for (const { name } of catalogue) {
    const { settings } = await loadService(name);
    attempt(`settings of ${name}`, () => parseServiceSettings(name, settings, environment));
  }
  return findings.length > 0 ? findings : [{ subject: 'settings' }];
}

function checkFolder(dataRoot: string): Finding {
  const subject = `data folder ${dataRoot}`;
  const folder = existsSync(dataRoot) ? dataRoot : dirname(dataRoot);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return { subject };
  } catch {
    return existsSync(folder)
      ? {
          subject,
          trouble: 'cannot be written',
          remedy: `Make yourself its owner, or set FLOTILLA_DATA to another folder.`,
        }
      : {
          subject,
          trouble: `${folder} does not exist`,
          remedy: 'Make it, or set FLOTILLA_DATA to another folder.',
        };
  }
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

function checkSecrets(dataRoot: string): Finding[] {
  // The secret is its owner's alone; the list of hashes may be shared with a group of processes.
  const files = [
    { file: firstTokenFile(dataRoot), others: 0o077 },
    { file: join(dataRoot, 'tokens.json'), others: 0o007 },
  ].filter(({ file }) => existsSync(file));
  if (files.length === 0) return [{ subject: 'tokens: made at the first start' }];
  const findings = files.map(({ file, others }): Finding => {
    const isOpen = (statSync(file).mode & others) !== 0;
    return isOpen
      ? { subject: file, trouble: 'others on this host can read it', remedy: `chmod 600 ${file}` }
      : { subject: file };
  });
  try {
    using tokens = new TokenRegistry(dataRoot);
    const first = firstTokenFile(dataRoot);
    if (existsSync(first) && !tokens.verify(readFileSync(first, 'utf8').trim(), Date.now())) {
      const remedy = `Make another one (npx flotilla token create NAME --allow '*') and put it into FLOTILLA_TOKEN, or into ${first}.`;
      findings.push({ subject: `the token in ${first}`, trouble: 'revoked or expired', remedy, minor: true });
    }
  } catch (error) {
    findings.push({ subject: 'tokens', trouble: exitOf(error)?.line ?? String(error) });
  }
  return findings;
}

/** A port is well when it is free, or when our own process answers on it. */
async function checkPorts(host: HostSettings): Promise<Finding[]> {
  return Promise.all(
    catalogue.map(async (entry): Promise<Finding> => {
      const port = entry.port + host.FLOTILLA_PORT_OFFSET;
      const subject = `port ${port} (${entry.name})`;
      if (await isFree(port)) return { subject: `${subject} is free` };
      const { result, reason } = await look(entry, host);
      if (result !== 'down') return { subject: `${subject} is ours` };
      return {
        subject,
        trouble: reason ?? 'taken, and no answer',
        remedy:
          'If Flotilla runs, restart it; otherwise stop the program that has the port, or set FLOTILLA_PORT_OFFSET.',
      };
    }),
  );
}

async function checkSandbox(): Promise<Finding> {
  const trouble = await whyNoSandbox();
  const subject = 'sandbox for git';
  const remedy = 'Without it the tools of git refuse to work, unless FLOTILLA_GIT_SANDBOX=off.';
  return trouble === undefined ? { subject } : { subject, trouble, remedy };
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
        };
      }
    }),
  );
}
