/**
 * What belongs to a Git repository is read, and changed only where the operator allows it: hooks and configuration start
 * programs, and whoever next calls git there starts them. A repository as a whole is moved, copied, deleted and restored
 * like any folder: what is in it stays what it was.
 */
import { ToolError } from '#runtime/errors.ts';
import { isNamed, plainName } from '#runtime/roots.ts';

import { at, locate, type Folder, type Place, type Spot, type Territory, type Way } from './beneath.ts';
import { statOf } from './handle.ts';

/** A place at which something may be made, changed or taken away. */
export interface Target extends Spot {
  readonly allowsGit: boolean;
}

/** Where a path leads, for a change. @throws ToolError as `locate` does, and `forbidden` for what is Git's. */
export async function locateTarget(
  territory: Territory,
  given: string,
  way: Pick<Way, 'follow'> = {},
): Promise<Place & Target> {
  const { allowsGit } = territory;
  const place = await locate(territory, given, { ...way, ...(!allowsGit && { look: requireNoRepository }) });
  if (!allowsGit && place.path.split('/').some(isGitName)) {
    await place[Symbol.asyncDispose]();
    throw refusal(place.path);
  }
  return { ...place, allowsGit };
}

/** As Git itself sees it: also the spellings under which Windows and Macs find `.git`. */
const isGitName = (name: string) =>
  isNamed(name, '.git') || /^(\.git|git~1)[. ]*(:.*)?$/s.test(plainName(name));

/** A folder is a repository for git when it holds these, or the first and, of a linked working tree, the last. */
export const repositoryParts = ['HEAD', 'objects', 'refs', 'commondir'] as const;

async function requireNoRepository(folder: Folder): Promise<void> {
  if (await isRepository(async (part) => exists(folder, part))) throw refusal(folder.path);
}

/** What is made at a place must not make a repository of the folder: its hooks could have been put there before. */
export async function requireNoNewRepository({ allowsGit, folder, name, path }: Target): Promise<void> {
  if (allowsGit) return;
  const added = repositoryParts.find((part) => isNamed(name, part.toLowerCase()));
  if (added === undefined) return;
  if (!(await isRepository(async (part) => part === added || exists(folder, part)))) return;
  throw new ToolError(
    'forbidden',
    `Access denied - with this, the folder would be a Git repository: ${path}`,
    {
      hint: 'Choose another name. The operator allows this with FLOTILLA_FILESYSTEM_GIT=allow.',
    },
  );
}

async function isRepository(
  has: (part: (typeof repositoryParts)[number]) => Promise<boolean>,
): Promise<boolean> {
  if (!(await has('HEAD'))) return false;
  return (await has('commondir')) || ((await has('objects')) && (await has('refs')));
}

const exists = async (folder: Folder, name: string) => (await statOf(folder, at(folder, name))) !== undefined;

const refusal = (path: string) =>
  new ToolError('forbidden', `Access denied - this belongs to a Git repository: ${path}`, {
    hint: 'It can be read. A repository is moved or deleted as a whole, with its folder. The operator allows changes with FLOTILLA_FILESYSTEM_GIT=allow.',
  });
