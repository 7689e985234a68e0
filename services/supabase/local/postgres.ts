/** A Postgres of its own in a folder: made when there is none, started, stopped. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { UnavailableError } from '#runtime/errors.ts';
import { makeFolder } from '#runtime/files.ts';
import { endingWithUs } from '#runtime/sandbox.ts';

import { postgresPrograms } from './programs.ts';

/** `nobody`: Postgres refuses to run as root. */
const unprivileged = { uid: 65_534, gid: 65_534 };

interface Postgres {
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** @param isDurable `false` for tests: nothing is synced. */
export async function startPostgres(
  folder: string,
  {
    port,
    password,
    isDurable,
  }: { readonly port: number; readonly password: string; readonly isDurable: boolean },
): Promise<Postgres> {
  const { bin, lib, links } = postgresPrograms();
  makeFolder(folder, 0o755);
  const identity = ownerFor(folder);
  const libraries = join(folder, 'lib');
  rmSync(libraries, { recursive: true, force: true });
  mkdirSync(libraries);
  // Whatever the umask says: the server is another user, who has to get there.
  chmodSync(libraries, 0o755);
  for (const { name, file } of links) symlinkSync(file, join(libraries, name));
  const surroundings = {
    ...identity,
    cwd: folder,
    env: { LD_LIBRARY_PATH: `${libraries}:${lib}`, LC_ALL: 'C.UTF-8', TZ: 'UTC' },
  };

  const data = join(folder, 'data');
  if (!existsSync(join(data, 'PG_VERSION'))) {
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, password, { mode: 0o600 });
    if (identity) chownSync(passwordFile, identity.uid, identity.gid);
    const make = ['-D', data, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
    try {
      await promisify(execFile)(
        join(bin, 'initdb'),
        [...make, '-E', 'UTF8', '--locale=C.UTF-8', ...(isDurable ? [] : ['--no-sync'])],
        surroundings,
      );
    } catch (error) {
      rmSync(data, { recursive: true, force: true });
      const { stderr = '', message } = error as Error & { readonly stderr?: string };
      throw new UnavailableError(`Postgres cannot make its files in ${data}: ${lastLine(stderr) || message}`);
    } finally {
      rmSync(passwordFile, { force: true });
    }
  }

  const options = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '60',
    shared_buffers: '32MB',
    ...(isDurable
      ? {}
      : { max_prepared_transactions: '2', fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const [program, ...before] = [...endingWithUs('INT'), join(bin, 'postgres')];
  const server = spawn(
    program,
    [
      ...before,
      '-D',
      data,
      ...Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { ...surroundings, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  await readyOrWhyNot(server, port);
  return {
    process: server,
    // SIGINT: connections are ended, and the files are left in order.
    stop: async () => ended(server, 'SIGINT'),
  };
}

/** Ends a program that we started, and waits until it is gone. */
export async function ended(program: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return;
  const gone = once(program, 'exit');
  program.kill(signal);
  await gone;
}

async function readyOrWhyNot(server: ChildProcess, port: number): Promise<void> {
  let said = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.stderr?.on('data', (chunk: Buffer) => {
    // Kept short: it goes on to talk for as long as it runs.
    said = `${said}${chunk.toString()}`.slice(-4_000);
    if (said.includes('ready to accept connections')) resolve();
  });
  server.once('error', (error) => reject(new UnavailableError(`Postgres does not start: ${error.message}`)));
  server.once('exit', () => reject(new UnavailableError(whyNot(said, port))));
  await promise;
}

/** Its last line is seldom the one that says why. */
function whyNot(said: string, port: number): string {
  const [, owner] = /Is another postmaster \(PID (\d+)\)/.exec(said) ?? [];
  if (owner !== undefined) {
    return `It runs already: Postgres of this folder is process ${owner}. If its flotilla supabase local was killed, end it with: kill -INT ${owner}`;
  }
  if (said.includes('Address already in use')) {
    return `Postgres does not start: port ${port} is taken. Give another with --port: the database gets the one after it.`;
  }
  const fatal = said.split('\n').findLast((line) => line.includes('FATAL:'));
  return `Postgres does not start: ${fatal ?? lastLine(said)}`;
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** As root, Postgres runs as somebody else, who has to own its folder. */
function ownerFor(folder: string): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = statSync(folder);
  if (uid !== 0) return { uid, gid };
  chownSync(folder, unprivileged.uid, unprivileged.gid);
  return unprivileged;
}

/** On the loopback. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
