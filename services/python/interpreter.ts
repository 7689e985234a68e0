/** The host's own Python: where it is, what it takes to run it, and what it is started with. */
import { chownSync, existsSync, mkdtempSync, readFileSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ConfigError, ToolError } from '#runtime/errors.ts';
import { launch, run, type Launched, type Level, type Limits } from '#runtime/launcher.ts';
import {
  channelNumbers,
  nobody,
  pathOf,
  programsAlone,
  viewOf,
  whyNoSandbox,
  type Maker,
  type View,
} from '#runtime/sandbox.ts';
import { contains } from '#runtime/roots.ts';

import { startTimeoutMs } from './limits.ts';

export interface Host {
  /** Such as 3.11.2. */
  readonly version: string;
  /** Whether it has not been taken away meanwhile. */
  isThere(): boolean;
  start(): Promise<Started>;
}

/** A program that runs `runner.py`, and the folder that it works in. */
export interface Started extends Launched {
  readonly folder: string;
}

export interface Ways {
  readonly level: Level;
  readonly limits: Limits;
  /** Named by the operator, in place of the host's. */
  readonly interpreter: string | undefined;
  readonly maker?: Maker | undefined;
}

const runner = readFileSync(fileURLToPath(new URL('runner.py', import.meta.url)), 'utf8');
/** Where it works in the sandbox, and what it writes meanwhile. */
const inside = '/session';
const scratch = '.tmp';

const flags = ['-I', '-S', '-B'];
/** Read by packages of Debian at their start. */
const settings = ['/etc/fonts', '/etc/matplotlibrc', '/etc/mime.types', '/etc/localtime'];

/** @throws ConfigError for a name that can be none. */
export function interpreterNamed(path: string | undefined): string | undefined {
  if (path !== undefined && !isAbsolute(path)) {
    throw new ConfigError(`FLOTILLA_PYTHON_INTERPRETER: ${path} is no absolute path.`);
  }
  return path;
}

const noPython = (what: string) =>
  new ToolError('unavailable', `Python cannot be started here: ${what}.`, {
    hint: 'The operator installs it: apt-get install python3. Or names another in FLOTILLA_PYTHON_INTERPRETER.',
  });

/** Asks the interpreter where its packages are. @throws ToolError `unavailable`. */
export async function findHost({ level, limits, interpreter, maker }: Ways): Promise<Host> {
  // Also finds out which way of making one works, before it is needed.
  const reason =
    level === 'sandbox' ? await whyNoSandbox({ asNobody: true, ...(maker && { maker }) }) : undefined;
  if (reason !== undefined) throw new ToolError('unavailable', reason);
  const named = interpreter ?? pathOf('python3');
  if (named === undefined) throw noPython('there is none in the folders of programs');
  const file = realpath(named);
  // A virtual environment is known by the path that its interpreter is called by.
  const folders = [named, file]
    .map((path) => dirname(dirname(path)))
    .filter((path) => !/^\/(?:usr)?$/.test(path));
  const seen = viewOf([...programsAlone, ...settings, ...folders]);
  const view = { mounts: seen.mounts, links: withScratch(seen) };
  const limit = { ...limits, cpuSeconds: { most: 30, policy: 'hard' as const } };
  const asked = [named, ...flags.filter((flag) => flag !== '-S'), '-c', question, runner] as const;
  const around = { cwd: '/', env: environment(inside), view };
  const outcome = await run(level, asked, limit, {
    ...around,
    signal: AbortSignal.timeout(startTimeoutMs),
    maker,
  });
  const [version, compiled, ...packages] = outcome.stdout.trim().split('\n');
  if (
    outcome.exit.code !== 0 ||
    version === undefined ||
    compiled === undefined ||
    !/^3\.\d+/.test(version)
  ) {
    throw noPython(outcome.stderr.trim().split('\n').at(-1) || 'it ends at once');
  }

  return {
    version,
    isThere: () => existsSync(named),
    async start(): Promise<Started> {
      const folder = level === 'sandbox' ? inside : ownFolder();
      const code = ['-c', loader, compiled] as const;
      const argv = [named, ...flags, ...code, channelNumbers.join(), folder, ...packages] as const;
      const env = environment(folder);
      try {
        const launched = await launch(level, argv, limits, {
          cwd: folder,
          env,
          view,
          folder,
          hasChannel: true,
          maker,
        });
        if (folder !== inside) void launched.ended.then(async () => remove(folder));
        return { ...launched, folder };
      } catch (error) {
        if (folder !== inside) void remove(folder);
        throw error;
      }
    },
  };
}

/** It also compiles the runner: reading that takes each start a third of a millisecond, in place of eight. */
const question = `import binascii, marshal, site, sys
code = compile(sys.argv[1], "<runner>", "exec", dont_inherit=True, optimize=2)
said = binascii.b2a_base64(marshal.dumps(code), newline=False).decode()
print(sys.version.split()[0], said, *site.getsitepackages(), sep="\\n")`;
const loader =
  'import binascii, marshal, sys; exec(marshal.loads(binascii.a2b_base64(sys.argv.pop(1))), globals())';

function realpath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    throw noPython(`${path} is not there`);
  }
}

/** Temporary files count as the session's own. Where the interpreter lies there, they have only TMPDIR to go by. */
function withScratch({ mounts, links }: Pick<View, 'mounts' | 'links'>): View['links'] {
  const isTaken = mounts.some(({ path }) => contains('/tmp', path));
  return new Map([...links, ...(isTaken ? [] : [['/tmp', join(inside, scratch)] as const])]);
}

/** Where there is no sandbox. */
function ownFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla-python-')));
  if (process.getuid?.() === 0) chownSync(folder, nobody, nobody);
  return folder;
}

/** What its code has closed to this process stays there, as what it wrote elsewhere does. */
const remove = async (folder: string) => rm(folder, { recursive: true, force: true }).catch(() => {});

const environment = (folder: string) => ({
  HOME: folder,
  LANG: 'C.UTF-8',
  MPLBACKEND: 'Agg',
  MPLCONFIGDIR: join(folder, scratch),
  PATH: '/usr/local/bin:/usr/bin:/bin',
  TMPDIR: join(folder, scratch),
});
