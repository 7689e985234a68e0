/** What `.gitignore` files leave out, by the rules of git. */
import { fitsPath, segmentsOf } from './glob.ts';

interface Rule {
  readonly segments: readonly string[];
  readonly isNegated: boolean;
  readonly foldersOnly: boolean;
}

/** The rules of one file, for paths relative to its folder. */
export interface IgnoreFile {
  /** Names from the place where the walk began down to the folder of the file; negative depth is never needed. */
  readonly depth: number;
  readonly rules: readonly Rule[];
}

const maxRules = 2_000;

export function parseIgnore(text: string, depth: number): IgnoreFile {
  const rules = text
    .split(/\r?\n/)
    .slice(0, maxRules)
    .flatMap((line) => ruleOf(line));
  return { depth, rules };
}

function ruleOf(line: string): Rule[] {
  let pattern = line.replace(/(?<!\\)\s+$/, '');
  if (pattern === '' || pattern.startsWith('#')) return [];
  const isNegated = pattern.startsWith('!');
  if (isNegated) pattern = pattern.slice(1);
  const foldersOnly = pattern.endsWith('/');
  if (foldersOnly) pattern = pattern.slice(0, -1);
  // A slash anywhere but at the end binds the pattern to the folder of the file.
  const isBound = pattern.includes('/');
  const segments = segmentsOf(pattern.replace(/^\//, ''));
  return [{ segments: isBound ? segments : ['**', ...segments], isNegated, foldersOnly }];
}

/** The last rule that fits decides, those of deeper files after those above. What lies in an ignored folder is not asked for. */
export function isIgnored(
  files: readonly IgnoreFile[],
  names: readonly string[],
  isFolder: boolean,
): boolean {
  for (const { depth, rules } of files.toReversed()) {
    const below = names.slice(depth);
    const rule = rules.findLast(
      ({ segments, foldersOnly }) => (isFolder || !foldersOnly) && fitsPath(segments, below),
    );
    if (rule) return !rule.isNegated;
  }
  return false;
}
