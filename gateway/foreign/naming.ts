/** The names of a foreign server's tools and prompts, as the gateway offers them, and back. */
import { createHash } from 'node:crypto';

/**
 * Clients put `mcp__flotilla__` before a name, and models take 64 characters of `a-z A-Z 0-9 _ -` in all.
 */
const longestName = 64 - 'mcp__flotilla__'.length;

const form = new RegExp(`^[a-zA-Z0-9_-]{1,${longestName}}$`);

/**
 * The outward name of each: the prefix and the name, as it is where it fits. Characters that do not fit become underscores,
 * and a name that is too long, or then stands for two, ends with six digits of its hash: the same each time, whatever else is listed.
 */
export function outwardNames(prefix: string, names: readonly string[]): ReadonlyMap<string, string> {
  const plain = new Map(names.map((name) => [name, tamed(prefix, name)]));
  const isTaken = (name: string, outward: string) =>
    [...plain].some(([other, theirs]) => other !== name && theirs === outward);
  return new Map(
    [...plain].map(([name, outward]) => {
      const isSame = outward === prefix + name;
      return [name, !isSame && isTaken(name, outward) ? marked(prefix, name) : outward];
    }),
  );
}

function tamed(prefix: string, name: string): string {
  const outward = prefix + fitting(name);
  return form.test(outward) ? outward : marked(prefix, name);
}

const fitting = (name: string) => name.replaceAll(/[^a-zA-Z0-9_-]+/g, '_');

function marked(prefix: string, name: string): string {
  const mark = `_${createHash('sha256').update(name).digest('hex').slice(0, 6)}`;
  return (prefix + fitting(name)).slice(0, longestName - mark.length) + mark;
}
