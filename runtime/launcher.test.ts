/** Real programs that pass their limits, under each policy. */
import { chmodSync, mkdirSync, mkdtempDisposableSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeEach, describe, expect, test } from 'vitest';

import { kernelForbids } from '../tests/support/reporter.ts';
import { isWhole } from '../tests/support/trials.ts';
import {
  launch,
  policies,
  run,
  type Level,
  type Limits,
  type Policy,
  type Surroundings,
} from './launcher.ts';
import { hostPrograms, makers, whyNoSandbox, type Maker } from './sandbox.ts';

const limit = (most: number, policy: Policy = 'hard') => ({ most, policy });

const limits: Limits = {
  memoryBytes: limit(100_000_000),
  cpuSeconds: limit(10),
  processes: limit(30),
  outputBytes: limit(10_000, 'warn'),
  diskBytes: limit(5_000_000),
};

interface Way {
  readonly level: Level;
  readonly maker?: Maker;
}

const ways: readonly (Way & { readonly reason: string | undefined })[] = [
  { level: 'basic', reason: undefined },
  ...(await Promise.all(
    // The launcher does the same within either: the second one is tried with npm run test:faults.
    (isWhole ? makers : makers.slice(0, 1)).map(async (maker) => ({
      level: 'sandbox' as const,
      maker,
      reason: await whyNoSandbox({ maker, asNobody: true }),
    })),
  )),
];

const own = mkdtempDisposableSync(`${realpathSync(tmpdir())}/flotilla-launcher-`);
const filled = mkdtempDisposableSync(`${realpathSync(tmpdir())}/flotilla-launcher-`);
afterAll(() => {
  own.remove();
  filled.remove();
});

function around({ level, maker }: Way): Surroundings {
  const isInside = level === 'sandbox';
  const folder = isInside ? '/scratch' : own.path;
  const cwd = isInside ? folder : '/';
  return { cwd, env: { PATH: '/usr/bin:/bin' }, view: hostPrograms(), folder, maker };
}

/** That nobody may write to, where this is root. */
function folderFor(name: string): string {
  const path = join(filled.path, name);
  mkdirSync(path);
  for (const one of [filled.path, path]) chmodSync(one, 0o777);
  return path;
}

const perl = (script: string) => ['/usr/bin/perl', '-e', script] as const;

describe.concurrent.each(ways)('A program at the level $level $maker', ({ reason, ...way }) => {
  beforeEach((context) => {
    if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);
  });

  const ends: Readonly<Record<Policy, (name: string) => RegExp>> = {
    // What the kernel itself refuses is no violation.
    hard: () => /: (?:SIGKILL|SIGXFSZ|137|153|8|1|12|29),/,
    soft: (name) => new RegExp(`^${name}: 7, ${name}$`),
    warn: (name) => new RegExp(`^${name}: 5, ${name}$`),
  };

  test.each(policies)('is held to each of its limits: %s', async (policy) => {
    const begin = '$SIG{INT} = sub { exit 7 }; $| = 1;';
    // It takes little more than it may, in one step: on a busy host a larger one does not come to its signal within its grace.
    const memory = 'my $n = 40_000_000; my $kept = "x" x $n;';
    // Who only is reported goes on for long enough to be seen. Perl handles a signal between two of its steps: one that comes just
    // before a sleep is handled after it, so the sleeps are short.
    const end = `select undef, undef, undef, 0.1 for 1 .. ${policy === 'warn' ? 20 : 200}; exit 5`;
    const programs: Readonly<Partial<Record<keyof Limits, readonly [most: number, script: string]>>> = {
      memoryBytes: [30_000_000, memory],
      processes: [10, 'for (1 .. 14) { my $p = fork; exit 8 unless defined $p; if (!$p) { sleep 3; exit } }'],
      outputBytes: [10_000, 'print "x" x 1000 for 1 .. 200;'],
      diskBytes: [
        3_000_000,
        'open my $f, ">", "$ENV{HOME}/big" or exit 9; print $f "x" x 1_000_000 or exit 8 for 1 .. 5; close $f or exit 8;',
      ],
    };
    const outcomes = await Promise.all(
      Object.entries(programs).map(async ([name, [most, script]]) => {
        const where = around(way);
        const home = way.level === 'sandbox' ? '/scratch' : folderFor(name + policy);
        const outcome = await run(
          way.level,
          perl(`${begin} ${script} ${end}`),
          { ...limits, [name]: limit(most, policy) },
          { ...where, folder: home, env: { ...where.env, HOME: home } },
        );
        return { name, ...outcome };
      }),
    );

    for (const { name, exit, violations } of outcomes) {
      const how = `${name}: ${exit.code ?? exit.signal}, ${violations.map((one) => one.limit).join(' ')}`;
      expect(how).toMatch(ends[policy](name));
    }
  });

  test('says what it used, and how it ended', async () => {
    const outcome = await run(
      way.level,
      perl('print "out"; print STDERR "err"; exit 3'),
      limits,
      around(way),
    );

    expect(outcome).toMatchObject({
      exit: { code: 3, signal: null },
      stdout: 'out',
      stderr: 'err',
      violations: [],
      usage: { outputBytes: 6 },
    });
  });

  test.each([
    { policy: 'hard' as const, ends: /SIGKILL|^137/ },
    { policy: 'soft' as const, ends: /^(?:7|SIGINT)/ },
    { policy: 'warn' as const, ends: /^5/ },
  ])('that takes its time is held to it: $policy', async ({ policy, ends }) => {
    const script = '$SIG{INT} = sub { exit 7 }; 1 while (times)[0] + (times)[1] < 1; exit 5';

    const { exit, violations, usage } = await run(
      way.level,
      perl(script),
      { ...limits, cpuSeconds: limit(0.5, policy) },
      around(way),
    );

    expect(`${exit.code ?? exit.signal}`).toMatch(ends);
    expect(violations).toMatchObject([{ limit: 'cpuSeconds', most: 0.5, policy }]);
    expect(usage.cpuSeconds).toBeGreaterThan(0.5);
  });

  test('is held to the time of its children too, also where it lets the kernel forget them', async () => {
    const script =
      '$SIG{CHLD} = "IGNORE"; for (1 .. 12) { my $p = fork; if (!$p) { 1 while (times)[0] + (times)[1] < 0.2; exit } select(undef, undef, undef, 0.01) while kill 0, $p } exit 5';

    const { exit, violations } = await run(
      way.level,
      perl(script),
      { ...limits, cpuSeconds: limit(0.7) },
      around(way),
    );

    expect(`${exit.code ?? exit.signal}`).toMatch(/SIGKILL|^137/);
    expect(violations).toMatchObject([{ limit: 'cpuSeconds' }]);
  });

  test('whose children end in good order has their time counted once', async () => {
    const script =
      'for (1 .. 4) { my $p = fork; if (!$p) { 1 while (times)[0] + (times)[1] < 0.2; exit } waitpid $p, 0 } print join " ", times';

    const { stdout, usage } = await run(way.level, perl(script), limits, around(way));

    const own = stdout.split(' ').reduce((sum, seconds) => sum + Number(seconds), 0);
    expect(own).toBeGreaterThan(0.75);
    // What it took to start is on top.
    expect(usage.cpuSeconds).toBeLessThan(own + 0.4);
  });

  test('that does not listen to its interruption is ended', async () => {
    const { exit } = await run(
      way.level,
      perl('$SIG{INT} = "IGNORE"; my $n = 40_000_000; my $x = "x" x $n; sleep 100 while 1'),
      { ...limits, memoryBytes: limit(30_000_000, 'soft') },
      around(way),
    );

    expect(`${exit.code ?? exit.signal}`).toMatch(/SIGKILL|^137/);
  });

  test('that prints too much is ended, or only read no further', async () => {
    const script = perl('$| = 1; print "x" x 1000, "\\n" for 1 .. 2000; sleep 1 if $ARGV[0]; exit 5');

    const told = await run(way.level, script, limits, around(way));
    const ended = await run(
      way.level,
      [...script, 'stay'],
      { ...limits, outputBytes: limit(10_000) },
      around(way),
    );

    expect({ code: told.exit.code, shown: told.stdout.length, printed: told.usage.outputBytes }).toEqual({
      code: 5,
      shown: 10_000,
      printed: 2_002_000,
    });
    expect(told.violations).toMatchObject([{ limit: 'outputBytes', seen: 2_002_000, policy: 'warn' }]);
    expect(ended.exit.code).not.toBe(5);
  });

  test('starts no more processes than it may, all together', async () => {
    const script =
      'my $n = 0; for (1 .. 100) { my $p = fork; last unless defined $p; if (!$p) { sleep 2; exit } $n++ } print $n; sleep 1';

    const { stdout, exit } = await run(way.level, perl(script), limits, around(way));

    // In the sandbox the kernel refuses it more; elsewhere it is ended.
    const isEnded = /SIGKILL|^137/.test(`${exit.code ?? exit.signal}`);
    expect({ isEnded, isFew: Number(stdout) < 30 }).toEqual({
      isEnded: way.level !== 'sandbox',
      isFew: true,
    });
  });

  test.for([0, 300])('is ended with its call, which is given up after %i ms', async (afterMs) => {
    const controller = new AbortController();
    const endless = perl('sleep 1 while 1');
    const running = run(way.level, endless, limits, { ...around(way), signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), afterMs);

    await expect(running).rejects.toThrow('enough');
  });

  test('stands still when it is told to rest, and its children are gone', async () => {
    const script = '$| = 1; if (!fork) { sleep 1 while 1 } print "begun"; sleep 1 while 1';
    const launched = await launch(way.level, perl(script), limits, around(way));
    await new Promise((resolve) => launched.child.stdout.once('data', resolve));

    expect(await launched.rest()).toEqual({ ended: 1 });
    const { usage } = launched.watch().account();
    launched.end();

    expect(await launched.ended).toMatchObject({});
    expect(usage.processes).toBeLessThanOrEqual(2);
  });
});

test('Without isolation no limit holds but that of what is kept of its output', async () => {
  const script = 'my $x = "x" x 200_000_000; print "x" x 20_000; exit 5';

  const { exit, stdout, violations } = await run('none', perl(script), limits, around({ level: 'none' }));

  expect({ code: exit.code, kept: stdout.length, violations }).toEqual({
    code: 5,
    kept: 10_000,
    violations: [],
  });
});

test('A sandbox without a limit of memory is one all the same', async (context) => {
  const { maker, reason } = ways[1] ?? {};
  if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);

  const where = { cwd: '/', env: {}, view: hostPrograms(), maker };
  const { stdout, violations } = await run('sandbox', perl('print "x"'), { cpuSeconds: limit(5) }, where);

  expect({ stdout, violations }).toEqual({ stdout: 'x', violations: [] });
});

test('What cannot be started says so', async () => {
  const outcome = await run('basic', ['/no/such/program'], limits, around({ level: 'basic' }));

  expect(outcome.exit.code).not.toBe(0);
  expect(outcome.stderr).toMatch(/No such file/);
});
