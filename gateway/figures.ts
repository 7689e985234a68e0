/** What the gateway's metrics say beside those of every process, in Prometheus' format. Pure. */
import { exposed } from '#runtime/account/metrics.ts';

import type { Behind } from './surface.ts';

type Counts = Readonly<Record<string, number>>;

export function figures(
  services: readonly Pick<Behind, 'name' | 'trouble'>[],
  observed: Readonly<Record<string, Counts | undefined>>,
  longAnswers: Counts,
): string {
  const up = exposed(
    'gauge',
    'flotilla_upstream_up',
    'Whether a service behind the gateway can be called.',
    services.map(({ name, trouble }) => `{upstream="${name}"} ${trouble === undefined ? 1 : 0}`),
  );
  const long = exposed(
    'counter',
    'flotilla_long_answers_total',
    'Answers that are longer than their client takes: kept and told in part, or handed on whole.',
    samplesOf(longAnswers),
  );
  const told = Object.entries(observed).map(([what, counts = {}]) =>
    exposed(
      'counter',
      `flotilla_observed_${what}_total`,
      `What came of ${what} that the gateway saw.`,
      samplesOf(counts).filter((sample) => !/waiting|behind/.test(sample)),
    ),
  );
  return [up, long, ...told].join('');
}

const samplesOf = (counts: Counts) =>
  Object.entries(counts).map(([outcome, count]) => `{outcome="${outcome}"} ${count}`);
