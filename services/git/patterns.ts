/**
 * Regular expressions, before git gets them. The C library writes every repetition out before it looks for anything, so a
 * short pattern can take gigabytes; and it tries back-references one by one.
 */
import { ToolError } from '#runtime/errors.ts';

import { maxPatternSize } from './limits.ts';

/** As POSIX has them: groups and counts with a backslash in front, or without. */
export type Dialect = 'basic' | 'extended';

// A set begins where it has an end: looking for that from every bracket would take its time.
const tokens = {
  basic: /\\\(|\\\)|\\\{(\d*)(,?)(\d*)\\\}|\[(?=[^\]]*\])\^?\]?(?:\[[:.=][^\]]*\]|[^\]])*\]|\\[\s\S]|[\s\S]/g,
  extended: /\(|\)|\{(\d*)(,?)(\d*)\}|\[(?=[^\]]*\])\^?\]?(?:\[[:.=][^\]]*\]|[^\]])*\]|\\[\s\S]|[\s\S]/g,
};

/** How many states it is, written out. */
function sizeOf(pattern: string, dialect: Dialect): number {
  const open = dialect === 'basic' ? String.raw`\(` : '(';
  const close = dialect === 'basic' ? String.raw`\)` : ')';
  /** Of each group that is open, what it holds; and its last part, to which a count belongs. */
  const groups = [{ whole: 0, last: 0 }];
  for (const [token, least = '', comma = '', most = ''] of pattern.matchAll(tokens[dialect])) {
    const group = groups.at(-1);
    if (!group) return Number.POSITIVE_INFINITY;
    if (token === open) groups.push({ whole: 0, last: 0 });
    else if (token === close && groups.length > 1) {
      groups.pop();
      const outer = groups.at(-1);
      if (outer) Object.assign(outer, { whole: outer.whole + group.whole + 1, last: group.whole + 1 });
    } else if (/^\\?\{\d/.test(token) || comma !== '') {
      const more = group.last * (Math.max(Number(least), Number(most), 1) - 1);
      Object.assign(group, { whole: group.whole + more, last: group.last + more });
    } else Object.assign(group, { whole: group.whole + 1, last: 1 });
  }
  return groups.reduce((sum, { whole }) => sum + whole, 0);
}

/** @throws ToolError `invalid_input`. */
export function requireModestPattern(pattern: string, dialect: Dialect): void {
  if (sizeOf(pattern, dialect) > maxPatternSize) {
    throw new ToolError(
      'invalid_input',
      `The pattern would be more than ${maxPatternSize} states, written out.`,
      {
        hint: 'Repeat less: "*" instead of a large count, and no counts within counts.',
      },
    );
  }
  if (/(?<!\\)(?:\\\\)*\\[1-9]/.test(pattern)) {
    throw new ToolError('invalid_input', 'Back-references are not taken: they can cost any time.', {
      hint: 'Search without them, and compare what is found.',
    });
  }
}
