/**
 * Texts for a caller name only the tools that this caller can use now: others are not offered (a `core` list, a setting), or are
 * beyond the token's scope. A sentence that names one of those would send a model to a closed door.
 */
import { covers } from '../access/scope.ts';
import { effects, type AnyTool, type Effect } from '../tool.ts';

/** The text without the sentences that name what a caller with this effect cannot use; empty when none is left. */
export type OfferedNames = (text: string, allowed: Effect) => string;

export function offeredNames(
  all: readonly Pick<AnyTool<never>, 'name' | 'effect'>[],
  offered: readonly Pick<AnyTool<never>, 'name' | 'effect'>[],
): OfferedNames {
  const hidden = Object.fromEntries(
    effects.map((allowed) => {
      const open = new Set(offered.filter(({ effect }) => covers(allowed, effect)).map(({ name }) => name));
      const closed = all.map(({ name }) => name).filter((name) => !open.has(name));
      return [allowed, closed.length === 0 ? undefined : new RegExp(closed.map(mention).join('|'))];
    }),
  ) as Record<Effect, RegExp | undefined>;
  return (text, allowed) => {
    const closed = hidden[allowed];
    if (!closed?.test(text)) return text;
    return text
      .split(/(?<=[.!?])\s+/)
      .map((sentence) => withoutClauses(sentence, closed))
      .filter((sentence) => sentence !== '')
      .join(' ');
  };
}

/** A name of one word (`memory`, `undo`) is a word of plain texts as well: it is meant where the text speaks of a tool. */
const mention = (name: string) =>
  name.includes('_')
    ? `\\b${name}\\b`
    : `\\b(?:tool|[Cc]all|[Uu]se|with|before) ${name}\\b|\\b${name} tool\\b`;

/** A sentence of those clauses that name nothing closed. */
function withoutClauses(sentence: string, closed: RegExp): string {
  if (!closed.test(sentence)) return sentence;
  const left = sentence.split(/(?<=[;:])\s+/).filter((clause) => !closed.test(clause));
  const joined = left.join(' ').replace(/[;:]$/, '.');
  return joined.charAt(0).toUpperCase() + joined.slice(1);
}
