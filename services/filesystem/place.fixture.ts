/** A folder with roots for tests: `root`, a second root `other`, and `outside`, which nothing may reach. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { openFiles, type Files } from './files.ts';

export const secret = 'outside of all roots';

export interface TestPlace extends AsyncDisposable {
  readonly path: string;
  readonly root: string;
  readonly other: string;
  readonly outside: string;
  readonly files: Files;
}

/** With these files in the root: paths with their contents; a path that ends with a slash is a folder. */
export function testPlace(
  contents: Readonly<Record<string, string | Buffer>> = {},
  settings: {
    readonly allowsHardLinks?: boolean;
    readonly allowsGit?: boolean;
    readonly trashDays?: number;
  } = {},
): TestPlace {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla-files-')));
  const [root, other, outside] = ['root', 'other', 'outside'].map((name) => join(path, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [root, other, outside]) mkdirSync(folder);
  writeFileSync(join(outside, 'secret.txt'), secret);
  for (const [name, content] of Object.entries(contents)) put(join(root, name), content);
  const files = openFiles({
    roots: [root, other],
    linked: new Map(),
    warnings: [],
    allowsHardLinks: false,
    allowsGit: false,
    trashDays: 30,
    ...settings,
  });
  return {
    path,
    root,
    other,
    outside,
    files,
    async [Symbol.asyncDispose]() {
      await files[Symbol.asyncDispose]();
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function put(path: string, content: string | Buffer): void {
  const isFolder = path.endsWith('/');
  mkdirSync(isFolder ? path : dirname(path), { recursive: true });
  if (!isFolder) writeFileSync(path, content);
}

const nobody = 65_534;

/** Does work as a user whom modes hold: root may do everything. From then on the place is of that user. */
export async function asNobody<Value>({ path }: TestPlace, work: () => Promise<Value>): Promise<Value> {
  if (process.geteuid?.() !== 0) return work();
  if (statSync(path).uid !== nobody) execFileSync('chown', ['-R', '-h', `${nobody}:${nobody}`, path]);
  process.seteuid?.(nobody);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}
