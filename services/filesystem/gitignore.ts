/** What `.gitignore` files leave out, by the rules of git. */
import { anywhere, fitsPath, parseGlob, type Glob, type Letters } from './glob.ts';
import type { Work } from './work.ts';

interface Rule {
  readonly glob: Glob;
  readonly isNegated: boolean;
  readonly foldersOnly: boolean;
}

/** The rules of one file, for paths relative to its folder. */
export interface IgnoreFile {
  /** Names from the place where the walk began down to the folder of the file; negative depth is never needed. */
  readonly depth: number;
  /** The last first. */
  readonly rules: readonly Rule[];
}

const maxRules = 2_000;
const maxRuleLength = 1_000;

export function parseIgnore(text: string, depth: number): IgnoreFile {
  const rules = text
    .split(/\r?\n/)
    .slice(0, maxRules)
    .flatMap((line) => ruleOf(line))
    .toReversed();
  return { depth, rules };
}

function ruleOf(line: string): Rule[] {
  let end = line.length;
  while (/\s/.test(line.charAt(end - 1)) && line[end - 2] !== '\\') end -= 1;
  let pattern = line.slice(0, end);
  if (pattern === '' || pattern.startsWith('#') || pattern.length > maxRuleLength) return [];
  const isNegated = pattern.startsWith('!');
  if (isNegated) pattern = pattern.slice(1);
  const foldersOnly = pattern.endsWith('/');
  if (foldersOnly) pattern = pattern.slice(0, -1);
  // A slash anywhere but at the end binds the pattern to the folder of the file.
  const isBound = pattern.includes('/');
  const glob = parseGlob(pattern.replace(/^\//, ''));
  return [{ glob: isBound ? glob : anywhere(glob), isNegated, foldersOnly }];
}

/** The last rule that fits decides, those of deeper files after those above. What lies in an ignored folder is not asked for. */
export async function isIgnored(
  files: readonly IgnoreFile[],
  path: Letters,
  isFolder: boolean,
  work: Work,
): Promise<boolean> {
  for (const { depth, rules } of files.toReversed()) {
    const below = path.slice(depth);
    for (const { glob, isNegated, foldersOnly } of rules) {
      if ((isFolder || !foldersOnly) && fitsPath(glob, below, work)) return !isNegated;
      if (work.isDue()) await work.pause();
    }
  }
  return false;
}
