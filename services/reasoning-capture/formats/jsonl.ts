/** Lines of JSON: a header, then a step on each, as `capture_batch` takes them. */
import { chainView, evaluationView, stepView } from '../steps/view.ts';
import type { Format } from './format.ts';

export const jsonlSchema = 'flotilla.reasoning';
export const jsonlVersion = 1;

export const jsonl = (withContent: boolean): Format => ({
  head: (chain, evaluations) =>
    `${JSON.stringify({
      schema: jsonlSchema,
      version: jsonlVersion,
      statement: 'Steps are what a model said, and not what caused its answer.',
      chain: withContent ? chainView(chain) : { ...chainView(chain), goal: undefined, attrs: undefined },
      evaluations: evaluations.map((one) =>
        withContent ? evaluationView(one) : { ...evaluationView(one), explanation: undefined },
      ),
    })}\n`,
  step: (step, { uid }) => `${JSON.stringify({ chain_id: uid, ...stepView(step, withContent) })}\n`,
  between: '',
  foot: () => '',
});
