/** The sets of capabilities that tasks ask for: each once, so that a worker looks only among those that it covers. */
import { ToolError } from '#runtime/errors.ts';

import { mostSkillSetsPerToken } from '../limits.ts';
import { all, define, first, run, type Ledger } from './query.ts';

export interface SkillSet {
  readonly id: number;
  readonly requires: readonly string[];
}

const setsAfter = define<{ after: number }>()(({ db, given }) =>
  db.selectFrom('skill_set').select(['id', 'requires']).where('id', '>', given.after).orderBy('id'),
);

/** They are never changed and never go, and come in the order of their numbers, whoever adds them: so each is read once. */
export class SkillSets {
  readonly #sets = new Map<number, SkillSet>();
  #last = 0;

  *known(): Ledger<readonly SkillSet[]> {
    for (const { id, requires } of yield* all(setsAfter, { after: this.#last })) {
      this.#sets.set(id, { id, requires: JSON.parse(requires) as string[] });
      this.#last = Math.max(this.#last, id);
    }
    return [...this.#sets.values()];
  }

  *requiresOf(id: number): Ledger<readonly string[]> {
    if (!this.#sets.has(id)) yield* this.known();
    return this.#sets.get(id)?.requires ?? [];
  }

  /** A change that was taken back may have added some, whose numbers others get, where numbers are given again. */
  forget(): void {
    this.#sets.clear();
    this.#last = 0;
  }
}

const skillSetOf = define<{ requires: string }>()(({ db, given }) =>
  db.selectFrom('skill_set').select('id').where('requires', '=', given.requires),
);
const addSkillSet = define<{ owner: string; requires: string }>()(({ db, given }) =>
  db.insertInto('skill_set').values({ owner: given.owner, requires: given.requires }).returning('id'),
);
const skillSetsOfOwner = define<{ owner: string }>()(({ db, given }) =>
  db
    .selectFrom('skill_set')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('owner', '=', given.owner),
);

/** Another change, whose number is smaller, may not become visible later. */
const aloneWithSets = define()(({ db, alone }) => db.selectNoFrom(alone('skill_set').as('kept')));

/** @param requires sorted. @throws ToolError too_large. */
export function* skillSet(requires: readonly string[], owner: string): Ledger<number> {
  const text = JSON.stringify(requires);
  const known = yield* first(skillSetOf, { requires: text });
  if (known) return known.id;
  yield* run(aloneWithSets, {});
  const come = yield* first(skillSetOf, { requires: text });
  if (come) return come.id;
  const { count: sets = 0 } = (yield* first(skillSetsOfOwner, { owner })) ?? {};
  if (sets >= mostSkillSetsPerToken)
    throw new ToolError(
      'too_large',
      `The token has used ${sets} different sets of capabilities, which is the most.`,
      {
        hint: 'Use fewer words in requires, and the same ones again.',
      },
    );
  const added = yield* first(addSkillSet, { owner, requires: text });
  if (!added) throw new Error('The database returned no row for a new set of capabilities.');
  return added.id;
}
