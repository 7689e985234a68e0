import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test, vi } from 'vitest';

import type { GrepJob, GrepResult } from './grep.ts';
import { openThreads } from './threads.ts';

const job = (pattern: string, text: string): GrepJob => ({
  text,
  pattern,
  flags: 'u',
  fromLine: 0,
  limit: 10,
  before: 0,
  after: 0,
});
const evil = job('(a|a)*b', 'a'.repeat(60));
const small = job('b', 'a\nb');

const callOf = (caller: string, signal = new AbortController().signal) => ({ caller, signal });
const limits = { threads: 2, cpuMs: 150, waitMs: 8_000, waitingPerCaller: 8 };
const failure = async (work: Promise<unknown>) => work.catch((error: unknown) => error);

describe('Threads', () => {
  test('of low priority answer, and the process keeps its own', async () => {
    using threads = openThreads(limits);
    expect(await threads.run<GrepResult>(small, callOf('a'))).toMatchObject({ matches: [{ line: 1 }] });

    // Of the fields after the name, the nice value is the 17th.
    const niceOf = (task: string) => {
      const stat = readFileSync(`/proc/self/task/${task}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
    };
    const values = new Map(readdirSync('/proc/self/task').map((task) => [task, niceOf(task)]));
    const own = values.get(String(process.pid)) ?? Number.NaN;
    expect(Math.max(...values.values())).toBeGreaterThan(own);
  });

  test('work for one caller one at a time, and for another meanwhile', async () => {
    using threads = openThreads(limits);
    const order: string[] = [];
    const hostile = Array.from({ length: 4 }, async () =>
      failure(threads.run(evil, callOf('hostile'))).finally(() => order.push('hostile')),
    );

    await threads.run(small, callOf('other'));
    order.push('other');

    expect(order.filter((each) => each === 'hostile').length).toBeLessThan(4);
    for (const each of await Promise.all(hostile)) expect(each).toMatchObject({ code: 'timeout' });
  });

  test('beyond those that may wait, callers are told when to try again', async () => {
    using threads = openThreads({ ...limits, waitingPerCaller: 1 });
    const running = threads.run(small, callOf('a'));
    const waiting = threads.run(small, callOf('a'));

    expect(await failure(threads.run(small, callOf('a')))).toMatchObject({
      code: 'unavailable',
      retryAfterMs: 8_000,
    });
    expect(await Promise.all([running, waiting])).toHaveLength(2);
  });

  test('that nobody gets for long are told so', async () => {
    using threads = openThreads({ threads: 1, cpuMs: 500, waitMs: 1, waitingPerCaller: 8 });
    const hostile = failure(threads.run(evil, callOf('hostile')));

    expect(await failure(threads.run(small, callOf('other')))).toMatchObject({ code: 'unavailable' });
    expect(await hostile).toMatchObject({ code: 'timeout' });
    await vi.waitFor(async () => threads.run(small, callOf('other')));
  });

  test('end with the call that asked, whether it runs or waits', async () => {
    using threads = openThreads({ ...limits, threads: 1, cpuMs: 60_000 });
    const gone = new AbortController();
    const running = failure(threads.run(evil, callOf('a', gone.signal)));
    const waiting = failure(threads.run(small, callOf('b', gone.signal)));

    gone.abort(new Error('gone'));

    expect([await running, await waiting]).toMatchObject([{ message: 'gone' }, { message: 'gone' }]);
    expect(await threads.run<GrepResult>(small, callOf('c'))).toMatchObject({ hasMore: false });
  });

  test('are not brought down by a pattern that takes too much memory', async () => {
    using threads = openThreads({ ...limits, cpuMs: 5_000 });

    expect(await failure(threads.run(job('(?:a?){65535}'.repeat(70), 'a'), callOf('a')))).toMatchObject({
      code: 'too_large',
      hint: expect.any(String) as string,
    });
    expect(await threads.run<GrepResult>(small, callOf('a'))).toMatchObject({ hasMore: false });
  });
});
