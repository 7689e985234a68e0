/**
 * What the index of a repository names, looked at before anything is done with it. Who planted an index can name any path
 * in it, and git would read, write and delete there. Git itself lists it, since it is to agree with git; the answer is
 * kept as long as the index stays what it is.
 */
import { lstat, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';

import type { Repository } from './git.ts';
import { maxStreamBytes, maxKnownIndexes, maxPartBytes, maxSubmodules, settledAfterMs } from './limits.ts';
import { decoded, refusal } from './planted-files.ts';
import { submoduleDirs } from './repository.ts';

export interface Tracked {
  /** Folders of other repositories that it holds by their commit, relative to the top. */
  readonly links: readonly string[];
  /** Where those that are there have their repositories. */
  readonly linkedDirs: readonly string[];
}

const known = new Map<string, readonly string[]>();

/** @throws ToolError `forbidden` for a path that leads out of the working tree, or into .git. */
export async function lookAtIndex(repository: Omit<Repository, 'tracked'>): Promise<Tracked> {
  const { top, roots } = repository;
  if (top === undefined) return { links: [], linkedDirs: [] };
  const id = await identityOf(repository.gitDir);
  if (id === undefined) return { links: [], linkedDirs: [] };
  const found = known.get(id.key);
  const way = found ? undefined : await wayTo(repository.gitDir);
  const links = found ?? (await linksIn(repository));
  // Git may have listed another one, which was in its place meanwhile.
  const isSame = async () =>
    (await identityOf(repository.gitDir))?.key === id.key && (await wayTo(repository.gitDir)) === way;
  if (id.isSettled && !found && (await isSame())) {
    if (known.size >= maxKnownIndexes) known.clear();
    known.set(id.key, links);
  }
  const linkedDirs: string[] = [];
  for (const folder of await populated(top, links)) linkedDirs.push(...(await submoduleDirs(roots, folder)));
  return { links, linkedDirs: [...new Set(linkedDirs)] };
}

/** Of these folders, with their paths, those that have a repository. */
export async function populated(top: string, links: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of links.map((link) => join(top, link))) {
    if (await lstat(join(folder, '.git')).catch(() => undefined)) found.push(folder);
    if (found.length > maxSubmodules) {
      throw new ToolError('too_large', `There are more than ${maxSubmodules} submodules with files.`);
    }
  }
  return found;
}

/** `undefined` without an index. The files that it shares entries with count too. @throws ToolError `conflict`. */
async function identityOf(gitDir: string): Promise<{ key: string; isSettled: boolean } | undefined> {
  const files = await orMoved(indexFiles(gitDir));
  if (!files) return undefined;
  const youngest = Math.max(...files.map(({ ctimeMs }) => Number(ctimeMs)));
  return {
    key: files
      .map(({ dev, ino, size, mtimeNs, ctimeNs }) => `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`)
      .join(),
    isSettled: Math.abs(Date.now() - youngest) > settledAfterMs,
  };
}

/** What changes when one of the folders that lead there is put aside, even when it is put back. @throws ToolError `conflict`. */
async function wayTo(gitDir: string): Promise<string> {
  const folders = [gitDir];
  for (let at = gitDir; at !== dirname(at); at = dirname(at)) folders.push(dirname(at));
  const found = await orMoved(Promise.all(folders.map(async (folder) => stat(folder, { bigint: true }))));
  return found.map(({ dev, ino, ctimeNs }) => `${dev} ${ino} ${ctimeNs}`).join();
}

async function orMoved<Value>(looking: Promise<Value>): Promise<Value> {
  return looking.catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new ToolError('conflict', 'The repository, or its index, was moved or deleted meanwhile.', {
      hint: 'Try again.',
    });
  });
}

async function indexFiles(gitDir: string) {
  const names = (await readdir(gitDir)).filter((name) => /^(index|sharedindex\..*)$/.test(name));
  if (!names.includes('index')) return undefined;
  return Promise.all(names.toSorted().map(async (name) => stat(join(gitDir, name), { bigint: true })));
}

const forbidden = /\/(?:\.{0,2}|\.git[. ]*|git~\d)(?:\/|\0)/i;
const link = /(?:^|\0)160000\/([^\0]+)(?=\0)/g;

async function linksIn({ run }: Pick<Repository, 'run'>): Promise<string[]> {
  const links: string[] = [];
  let rest = '';
  const { isCut } = await run(['ls-files', '-z', '--format=%(objectmode)/%(path)'], {
    takeBytes: maxStreamBytes,
    consume(chunk) {
      const text = rest + chunk.toString('latin1');
      const end = text.lastIndexOf('\0') + 1;
      const whole = text.slice(0, end);
      rest = text.slice(end);
      if (rest.length > maxPartBytes) {
        throw new ToolError('too_large', `A path in its index has more than ${maxPartBytes} bytes.`);
      }
      if (forbidden.test(whole)) throw refusal('a path in its index', 'leads out of the working tree');
      for (const [, path = ''] of whole.matchAll(link)) {
        links.push(decoded(Buffer.from(path, 'latin1'), 'the name of a submodule'));
      }
    },
  });
  if (isCut) throw new ToolError('too_large', `Its index names more than ${maxStreamBytes} bytes of paths.`);
  return links;
}

/** The folders in which paths lie, gathered one by one. */
export function foldersAbove() {
  const folders = new Set<string>();
  let last = '';
  return {
    add(path: string): void {
      let above = dirname(path);
      // Paths come by their order, mostly from the same folder as the one before.
      if (above === last) return;
      last = above;
      for (; above !== '.' && !folders.has(above); above = dirname(above)) folders.add(above);
    },
    /**
     * Git goes through links that lie above a tracked path in some commands (grep, a forced rm), and the file is then
     * another one than what it tracks.
     *
     * @throws ToolError `forbidden`.
     */
    async requireNoLink(top: string): Promise<void> {
      for (const folder of folders) {
        if ((await lstat(join(top, folder)).catch(() => undefined))?.isSymbolicLink() !== true) continue;
        throw new ToolError('forbidden', `${folder} is a link, and tracked files should lie below it.`, {
          hint: 'Restore the folder, or take its files out of the index alone: git_rm with cached: true.',
        });
      }
    },
  };
}
