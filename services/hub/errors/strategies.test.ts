import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { classify } from './classify.ts';
import { categories, severities } from './rules.ts';
import {
  decide,
  defaultStrategies,
  delayOf,
  stepsSchema,
  strategyFor,
  type Situation,
  type Step,
  type Strategy,
} from './strategies.ts';

const away = classify({ code: 'unavailable' });
const situation = (overrides: Partial<Situation> = {}): Situation => ({
  rule: away,
  agent: 'builder',
  ...overrides,
});

/** What is done after the first attempts. */
const course = (steps: readonly Step[], attempts: number, about = situation()) =>
  Array.from({ length: attempts }, (_, index) => decide(about, index + 1, { steps }, 0).do);

describe('a delay', () => {
  const step = (overrides: Partial<Step> = {}): Step => ({ do: 'retry', ...overrides });

  test('doubles from one second up to a minute', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 100].map((nth) => delayOf(step(), nth, 0))).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000,
    ]);
  });

  test('is shorter by chance, by the part that is left to it', () => {
    expect([0, 0.5, 1].map((chance) => delayOf(step(), 3, chance))).toEqual([4_000, 3_000, 2_000]);
    expect([0, 0.5, 1].map((chance) => delayOf(step({ jitter: 1 }), 3, chance))).toEqual([4_000, 2_000, 0]);
    expect([0, 0.5, 1].map((chance) => delayOf(step({ jitter: 0 }), 3, chance))).toEqual([
      4_000, 4_000, 4_000,
    ]);
  });

  test('follows what the step says, and never passes its cap', () => {
    const custom = step({ initial_delay_ms: 10, factor: 10, max_delay_ms: 5_000, jitter: 0 });

    expect([1, 2, 3, 4, 5].map((nth) => delayOf(custom, nth, 0))).toEqual([10, 100, 1_000, 5_000, 5_000]);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.record({
          initial_delay_ms: fc.integer({ min: 0, max: 86_400_000 }),
          factor: fc.double({ min: 1, max: 10, noNaN: true }),
          max_delay_ms: fc.integer({ min: 0, max: 86_400_000 }),
          jitter: fc.double({ min: 0, max: 1, noNaN: true }),
        }),
        (nth, chance, timing) => {
          const ms = delayOf(step(timing), nth, chance);
          expect(Number.isInteger(ms) && ms >= 0 && ms <= timing.max_delay_ms).toBe(true);
        },
      ),
    );
  });
});

describe('a decision', () => {
  test('takes the steps in order, each for its attempts, and escalates behind the last', () => {
    const steps: Step[] = [
      { do: 'retry', times: 2 },
      { do: 'reconnect', times: 2 },
      { do: 'fallback', agent: 'other' },
    ];

    expect(course(steps, 7)).toEqual([
      'retry',
      'retry',
      'reconnect',
      'reconnect',
      'fallback',
      'escalate',
      'escalate',
    ]);
    expect(course([], 1)).toEqual(['escalate']);
    expect(course([{ do: 'retry' }, { do: 'ignore' }], 4)).toEqual(['retry', 'ignore', 'ignore', 'ignore']);
  });

  test('says how often the same may be done again, and begins each step with its first delay', () => {
    const steps: Step[] = [
      { do: 'retry', times: 2 },
      { do: 'reconnect', times: 2, initial_delay_ms: 50 },
    ];
    const at = (attempt: number) => decide(situation(), attempt, { steps }, 0);

    expect([1, 2, 3, 4, 5].map((attempt) => at(attempt).left)).toEqual([1, 0, 1, 0, 0]);
    expect([1, 2, 3, 4, 5].map((attempt) => at(attempt).afterMs)).toEqual([1_000, 2_000, 50, 100, 0]);
  });

  test('never retries what would fail the same', () => {
    const steps: Step[] = [{ do: 'retry', times: 5 }, { do: 'reconnect' }, { do: 'ignore' }];
    const denied = situation({ rule: classify({ http_status: 401 }) });

    expect(course(steps, 3, denied)).toEqual(['reconnect', 'ignore', 'ignore']);
  });

  test('falls back on the agent or capability that is named, else on the capability that was asked for', () => {
    const to = (step: Step, about: Partial<Situation> = {}) =>
      decide(situation(about), 1, { steps: [step] }, 0).to;

    expect(to({ do: 'fallback', agent: 'other' })).toEqual({ agent: 'other' });
    expect(to({ do: 'fallback', capability: 'build' }, { capability: 'test' })).toEqual({
      capability: 'build',
    });
    expect(to({ do: 'fallback' }, { capability: 'test' })).toEqual({ capability: 'test' });
  });

  test('passes over a fallback on nobody, and on the agent that failed', () => {
    expect(course([{ do: 'fallback' }, { do: 'ignore' }], 1)).toEqual(['ignore']);
    expect(course([{ do: 'fallback', agent: 'builder' }, { do: 'ignore' }], 1)).toEqual(['ignore']);
  });

  test('waits as long as what failed says, but an hour at most', () => {
    const after = (retryAfterMs: number) =>
      decide(situation({ retryAfterMs }), 1, { steps: [{ do: 'retry' }] }, 0).afterMs;

    expect([after(10), after(30_000), after(1e12)]).toEqual([1_000, 30_000, 3_600_000]);
  });

  test('is the same for the same, and ends whatever the attempt', () => {
    const anyStep = fc.oneof(
      fc.record({
        do: fc.constantFrom('retry' as const, 'reconnect' as const),
        times: fc.integer({ min: 1, max: 100 }),
      }),
      fc.constant<Step>({ do: 'fallback', capability: 'any' }),
    );
    fc.assert(
      fc.property(
        fc.array(anyStep, { maxLength: 10 }),
        fc.integer({ min: 1, max: 2_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (steps, attempt, chance) => {
          const one = decide(situation(), attempt, { steps }, chance);
          expect(decide(situation(), attempt, { steps }, chance)).toEqual(one);
          const all = steps.reduce((sum, { times = 1 }) => sum + times, 0);
          expect(one.do === 'escalate').toBe(attempt > all);
        },
      ),
    );
  });
});

describe('the strategy for a failure', () => {
  const ignore: Step[] = [{ do: 'ignore' }];
  const all: Strategy[] = [
    { steps: ignore },
    { category: 'connection', steps: ignore },
    { capability: 'test', steps: ignore },
    { capability: 'test', category: 'connection', steps: ignore },
    { agent: 'builder', steps: ignore },
    { agent: 'builder', category: 'connection', steps: ignore },
    { agent: 'builder', capability: 'test', steps: ignore },
    { agent: 'builder', capability: 'test', category: 'connection', steps: ignore },
  ];

  test('is the one that says most: agent before capability before category', () => {
    const about = situation({ capability: 'test' });
    for (let known = all.length; known > 0; known -= 1) {
      expect(strategyFor(about, all.slice(0, known))).toBe(all[known - 1]);
      expect(strategyFor(about, all.slice(0, known).toReversed())).toBe(all[known - 1]);
    }
  });

  test('is none of another agent, capability or category', () => {
    const others: Strategy[] = [
      { agent: 'other', steps: ignore },
      { capability: 'build', steps: ignore },
      { category: 'timeout', steps: ignore },
      { agent: 'builder', category: 'timeout', steps: ignore },
    ];

    expect(strategyFor(situation(), others)).toBe(
      defaultStrategies.find(({ category }) => category === 'connection'),
    );
  });

  test('has a default for every category and severity, which all are as steps have to be', () => {
    for (const category of categories) {
      for (const severity of severities) {
        const { steps } = strategyFor(situation({ rule: { category, severity, isPassing: true } }), []);
        expect(steps.length).toBeGreaterThan(0);
        expect(stepsSchema.parse(steps)).toEqual(steps);
      }
    }
  });

  test.each([
    [
      'a refused connection',
      { code: 'ECONNREFUSED' },
      ['retry', 'retry', 'reconnect', 'reconnect', 'reconnect', 'reconnect', 'fallback', 'escalate'],
    ],
    ['a timeout', { code: 'timeout' }, ['retry', 'retry', 'fallback', 'escalate']],
    [
      'too many requests',
      { http_status: 429 },
      ['retry', 'retry', 'retry', 'retry', 'retry', 'fallback', 'escalate'],
    ],
    ['wrong credentials', { http_status: 401 }, ['reconnect', 'escalate', 'escalate']],
    ['wrong input', { code: 'invalid_input' }, ['ignore', 'ignore']],
    ['a full disk', { code: 'ENOSPC' }, ['escalate', 'escalate']],
    ['damaged data', { code: 'SQLITE_CORRUPT' }, ['shut_down', 'shut_down']],
    ['something unknown', {}, ['retry', 'escalate', 'escalate']],
  ])('leads, where nobody has set one, for %s through its steps', (_, facts, expected) => {
    const about = situation({ rule: classify(facts), capability: 'test' });
    const { steps } = strategyFor(about, []);

    expect(course(steps, expected.length, about)).toEqual(expected);
  });
});

describe('steps', () => {
  test.each([
    ['an unknown action', [{ do: 'panic' }]],
    ['an unknown field', [{ do: 'retry', forever: true }]],
    ['no attempts', [{ do: 'retry', times: 0 }]],
    ['too many attempts', [{ do: 'retry', times: 101 }]],
    ['a factor that shortens', [{ do: 'retry', factor: 0.5 }]],
    ['more chance than there is', [{ do: 'retry', jitter: 1.1 }]],
    ['a delay of more than a day', [{ do: 'retry', max_delay_ms: 86_400_001 }]],
    ['a delay before nothing', [{ do: 'ignore', initial_delay_ms: 5 }]],
    ['times of the end', [{ do: 'escalate', times: 2 }]],
    ['a target of a retry', [{ do: 'retry', agent: 'other' }]],
    ['two targets', [{ do: 'fallback', agent: 'other', capability: 'test' }]],
    ['a target of several lines', [{ do: 'fallback', agent: 'a\nb' }]],
    ['a step behind the end', [{ do: 'ignore' }, { do: 'retry' }]],
    ['more than ten', Array.from({ length: 11 }, () => ({ do: 'retry' }))],
  ])('are refused with %s', (_, steps) => {
    expect(stepsSchema.safeParse(steps).success).toBe(false);
  });
});
