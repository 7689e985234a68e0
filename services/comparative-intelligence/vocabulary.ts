/** Words with a fixed meaning. Their places in the lists are stored: new ones go to the end. */

/** Who said how something turned out, the most trustworthy first. Figures of different sources are never pooled unless asked. */
export const sources = ['ground_truth', 'code_check', 'human', 'llm_judge'] as const;
export type Source = (typeof sources)[number];

/** As arena-rank writes who won. */
export const winners = ['model_a', 'model_b', 'tie', 'both_bad'] as const;
export type Winner = (typeof winners)[number];

export const verdicts = ['better', 'worse', 'equivalent', 'inconclusive'] as const;
export type Verdict = (typeof verdicts)[number];

export const winnerOf = (outcome: number, isBothBad: boolean): Winner =>
  isBothBad ? 'both_bad' : outcome === 1 ? 'model_a' : outcome === 0 ? 'model_b' : 'tie';
/** What stands at a place of the list. */
export const sourceAt = (place: number): Source => sources[place] ?? 'llm_judge';
