/** Real repositories in temporary folders, and calls of the tools on them. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { openGit, type Git, type Policy } from './git.ts';
import { allTools } from './service.ts';

export interface Place extends Disposable {
  /** The only root. */
  readonly root: string;
  /** Beside the root. */
  readonly outside: string;
  readonly git: Git;
}

export function place(policy: Partial<Policy> = {}): Place {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla-git-test-')));
  const [root, outside] = [join(folder, 'root'), join(folder, 'outside')];
  mkdirSync(root);
  mkdirSync(outside);
  const git = openGit({
    roots: [root],
    warnings: [],
    isSandboxed: true,
    memoryBytes: 512_000_000,
    mayPush: false,
    mayRewrite: false,
    protocols: [],
    credentials: undefined,
    name: 'Ada',
    email: 'ada@example.com',
    ...policy,
  });
  return { root, outside, git, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Git as a person would call it; nothing of the host's configuration. */
export function plainGit(folder: string, ...args: readonly string[]): string {
  return execFileSync('git', args, {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: '/nonexistent',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_AUTHOR_NAME: 'Bob',
      GIT_AUTHOR_EMAIL: 'bob@example.com',
      GIT_COMMITTER_NAME: 'Bob',
      GIT_COMMITTER_EMAIL: 'bob@example.com',
      GIT_AUTHOR_DATE: '2026-01-02T03:04:05+02:00',
      GIT_COMMITTER_DATE: '2026-01-02T03:04:05+02:00',
      GIT_ALLOW_PROTOCOL: 'file',
    },
  }).replace(/\n$/, '');
}

export function write(folder: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

const usual = { 'a.txt': 'one\ntwo\nthree\n' };
/** Most tests want the same repository: its files are kept, and writing them costs less than four processes. */
let kept: Readonly<Record<string, Buffer>> | undefined;

function filesBelow(folder: string): Record<string, Buffer> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map(({ parentPath, name }) => join(parentPath, name));
  return Object.fromEntries(paths.map((path) => [relative(folder, path), readFileSync(path)]));
}

const stateOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'buffer' })
    .map((name) => {
      const { ino, size, mode, ctimeNs } = lstatSync(Buffer.concat([Buffer.from(`${folder}/`), name]), {
        bigint: true,
      });
      return `${name.toString('latin1')} ${ino} ${size} ${mode} ${ctimeNs}`;
    })
    .toSorted()
    .join();

/** Puts what is in one folder into another, again and again; a copy that nobody has changed stays as it is. */
export function copier(from: string, to: string): () => void {
  let known: string | undefined;
  return () => {
    if (known !== undefined && existsSync(to) && stateOf(to) === known) return;
    rmSync(to, { recursive: true, force: true });
    cpSync(from, to, { recursive: true });
    known = stateOf(to);
  };
}

/** With one commit, of these files. */
export function repository(
  parent: string,
  name: string,
  files: Readonly<Record<string, string | Buffer>> = usual,
): string {
  const folder = join(parent, name);
  mkdirSync(folder);
  if (files === usual && kept) {
    // Git wants the empty ones too.
    for (const empty of ['objects/info', 'objects/pack', 'refs/tags'])
      mkdirSync(join(folder, '.git', empty), { recursive: true });
    write(folder, kept);
    return folder;
  }
  plainGit(folder, 'init', '--quiet', '--template=', '--initial-branch=main');
  commit(folder, 'first', files);
  if (files === usual) kept = filesBelow(folder);
  return folder;
}

export function commit(
  folder: string,
  message: string,
  files: Readonly<Record<string, string | Buffer>>,
): string {
  write(folder, files);
  plainGit(folder, 'add', '--all');
  plainGit(folder, 'commit', '--quiet', '--allow-empty', `--message=${message}`);
  return plainGit(folder, 'rev-parse', 'HEAD');
}

export async function use(
  git: Git,
  name: string,
  args: Readonly<Record<string, unknown>>,
  call: Partial<Call> = {},
): Promise<Readonly<Record<string, unknown>>> {
  const tool = allTools.find((candidate) => candidate.name === name);
  if (!tool) throw new TypeError(`No tool ${name}`);
  return invoke(tool, args, git, call);
}

/** The text block of the answer. */
export async function say(git: Git, name: string, args: Readonly<Record<string, unknown>>): Promise<string> {
  const value = await use(git, name, args);
  const tool = allTools.find((candidate) => candidate.name === name);
  return [tool?.text?.(value) ?? JSON.stringify(value, null, 2)].flat().join('\n');
}
