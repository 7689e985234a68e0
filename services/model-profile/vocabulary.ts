/** Words with a fixed meaning. Their places in the lists are stored: new ones go to the end. */

/** Who said how a decision turned out, the most trustworthy first. Figures of different sources are never pooled unless asked. */
export const sources = ['ground_truth', 'code_check', 'human', 'llm_judge'] as const;
export type Source = (typeof sources)[number];

/** Kinds of failure: what went wrong, never that it did. */
export const errorKinds = [
  'wrong_answer',
  'hallucination',
  'incomplete',
  'format',
  'refusal',
  'wrong_tool',
  'tool_error',
  'timeout',
  'rate_limit',
  'context_overflow',
  'policy_violation',
  'other',
] as const;
