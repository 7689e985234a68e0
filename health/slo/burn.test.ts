import { describe, expect, test } from 'vitest';

import { duration } from '../../scripts/generate/slo-page.ts';
import { allowedMs, budgetOf, together } from './budget.ts';
import {
  budgetShareOf,
  burnRate,
  burnRules,
  errorRatio,
  judge,
  leastBadEvents,
  outageUntilAlertMs,
  thresholdOf,
  windowNames,
  windowsMs,
  type Severity,
  type Windows,
} from './burn.ts';

const targets = { core: 0.999, dashboard: 0.99, health: 0.9999 } as const;

/** Polls every `everyMs`, all good for three days, then as `isBad` says: what each window holds after each of them. */
function* simulated(
  everyMs: number,
  isBad: (atMs: number) => boolean,
): Generator<{ atMs: number; windows: Windows }> {
  const before = windowsMs['3d'] / everyMs;
  const bad: number[] = [0];
  for (let poll = 1; ; poll += 1) {
    bad.push((bad.at(-1) ?? 0) + Number(isBad(poll * everyMs)));
    const counted = (windowMs: number) => {
      const total = Math.min(windowMs / everyMs, before + poll);
      const failed = (bad.at(-1) ?? 0) - (bad[Math.max(0, poll - total)] ?? 0);
      return { good: total - failed, total, knownMs: total * everyMs };
    };
    const windows = Object.fromEntries(
      windowNames.map((name) => [name, counted(windowsMs[name])]),
    ) as unknown as Windows;
    yield { atMs: poll * everyMs, windows };
  }
}

function firstAlertMs(
  target: number,
  severity: Severity,
  isBad: (atMs: number) => boolean,
  withinMs: number,
  everyMs = 1_000,
): number | null {
  const rules = burnRules.filter((rule) => rule.severity === severity);
  for (const { atMs, windows } of simulated(everyMs, isBad)) {
    if (rules.some((rule) => judge(rule, windows, target) === 'alerts')) return atMs;
    if (atMs > withinMs) return null;
  }
  return null;
}

const always = () => true;
const pageMs = (target: number) =>
  Math.min(
    ...burnRules
      .filter(({ severity }) => severity === 'page')
      .map((rule) => outageUntilAlertMs(rule, target, 1_000) ?? Infinity),
  );

describe('the table of budgets and alerts', () => {
  test.each([
    ['core', '43 min 12 s', [1.44, 0.6, 0.3, 0.1]],
    ['dashboard', '7 h 12 min', [14.4, 6, 3, 1]],
    ['health', '4 min 19 s', [0.144, 0.06, 0.03, 0.01]],
  ] as const)('%s has a budget of %s, and alerts above these shares', (name, budget, percents) => {
    expect(duration(allowedMs(targets[name]))).toBe(budget);
    const shares = burnRules.map((rule) => 100 * thresholdOf(rule, targets[name]));
    for (const [index, share] of shares.entries()) expect(share).toBeCloseTo(percents[index] ?? 0, 9);
  });

  test.each([
    ['core', '52 s', 52],
    ['dashboard', '8 min 38 s', 519],
    ['health', '5.2 s', 6],
  ] as const)('a full outage of %s pages after %s: with the next poll', (name, words, polls) => {
    expect(duration(pageMs(targets[name]))).toBe(words);
    expect(firstAlertMs(targets[name], 'page', always, 600_000)).toBe(polls * 1_000);
  });

  test('a restart that loses half a second of polls may happen as often in a month', () => {
    expect(Math.round(allowedMs(targets.core) / 500)).toBe(5_184);
    expect(Math.round(allowedMs(targets.health) / 500)).toBe(518);
  });

  test('rules come true when this part of the budget is spent', () => {
    expect(burnRules.map((rule) => Math.round(1_000 * budgetShareOf(rule)) / 10)).toEqual([2, 5, 10, 10]);
  });

  test.each([
    ['1 poll in 60, 17 times too fast, pages with the 52nd', 60, 'page', 52],
    ['1 poll in 120, 8 times too fast, pages with the 130th', 120, 'page', 130],
    ['1 poll in 250, 4 times too fast, is a ticket with the 260th', 250, 'ticket', 260],
  ] as const)('what fails now and then is told by how fast it burns: %s', (_, of, severity, lost) => {
    const isBad = (atMs: number) => atMs % (of * 1_000) === 0;

    expect(firstAlertMs(targets.core, severity, isBad, 90_000_000)).toBe(lost * of * 1_000);
  });

  test('what is within the budget alerts nobody', () => {
    const isBad = (atMs: number) => atMs % 1_200_000 === 0;

    expect(firstAlertMs(targets.core, 'page', isBad, 20_000_000)).toBeNull();
    expect(firstAlertMs(targets.core, 'ticket', isBad, 20_000_000)).toBeNull();
  });

  test('one lost poll among few pages nobody: a few must have failed in the short window', () => {
    // At one poll in ten seconds, one in an hour is 0.278 %, twice the threshold of 99.99 %.
    const lost = (count: number) => (atMs: number) => atMs <= count * 10_000;

    expect(firstAlertMs(targets.health, 'page', lost(leastBadEvents - 1), 300_000, 10_000)).toBeNull();
    expect(firstAlertMs(targets.health, 'page', lost(leastBadEvents), 300_000, 10_000)).toBe(30_000);
  });

  test('an outage that is over stops paging when the short window is good again', () => {
    const isBad = (atMs: number) => atMs <= 120_000;
    const [page] = burnRules;
    let last = 0;
    for (const { atMs, windows } of simulated(1_000, isBad)) {
      if (page && judge(page, windows, targets.core) === 'alerts') last = atMs;
      if (atMs > 1_000_000) break;
    }

    // Fewer than 1.44 % of 300 polls are left of it: 4.
    expect(last).toBe(120_000 + 300_000 - 5_000);
  });
});

const known = (good: number, total: number, knownMs: number) => ({ good, total, knownMs });
const everywhere = (counts: ReturnType<typeof known>) =>
  Object.fromEntries(windowNames.map((name) => [name, counts])) as unknown as Windows;

describe('what is not known', () => {
  test('no event is no share of errors, no burn rate and no budget', () => {
    expect(errorRatio({ good: 0, total: 0 })).toBeNull();
    expect(burnRate({ good: 0, total: 0 }, 0.999)).toBeNull();
    expect(budgetOf(known(0, 0, 0), 0.999)).toMatchObject({ remaining: null, known: 0 });
  });

  test('a rule says nothing before its short window is known, however bad it looks', () => {
    const judged = (minutes: number) =>
      burnRules.map((rule) => judge(rule, everywhere(known(0, 60 * minutes, 60_000 * minutes)), 0.999));

    expect(judged(4)).toEqual(['unknown', 'unknown', 'unknown', 'unknown']);
    expect(judged(5)).toEqual(['alerts', 'unknown', 'unknown', 'unknown']);
    expect(judged(30)).toEqual(['alerts', 'alerts', 'unknown', 'unknown']);
  });

  test('a target whose threshold is all events or more never alerts', () => {
    const [fast] = burnRules;

    expect(fast && outageUntilAlertMs(fast, 0.9, 1_000)).toBeNull();
    expect(fast && judge(fast, everywhere(known(0, 3_600, 3_600_000)), 0.9)).toBe('quiet');
  });
});

describe('budgets', () => {
  test('what is left is of what is known', () => {
    const budget = budgetOf(known(999_500, 1_000_000, windowsMs['30d'] / 2), 0.999);

    expect(budget.remaining).toBeCloseTo(0.5, 9);
    expect(budget.known).toBe(0.5);
    expect(budget.allowedEvents).toBeCloseTo(1_000, 6);
    expect(budget.badEvents).toBe(500);
  });

  test('more than all of it may be spent', () => {
    expect(budgetOf(known(990, 1_000, windowsMs['1h']), 0.999).remaining).toBeCloseTo(-9, 9);
  });

  test('what is known for less than an hour says nothing of a month', () => {
    expect(budgetOf(known(0, 3_599, windowsMs['1h'] - 1_000), 0.999)).toMatchObject({
      remaining: null,
      badEvents: 3_599,
    });
  });

  test('sources count together, and are known as the best of them is', () => {
    expect(together([known(9, 10, 5), known(10, 10, 7), known(0, 0, 0)])).toEqual(known(19, 20, 7));
    expect(together([])).toEqual(known(0, 0, 0));
  });
});
