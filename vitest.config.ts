import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';

import { defineConfig } from 'vitest/config';

import { codeFolders } from './config/catalogue.ts';
import { isWhole } from './tests/support/trials.ts';

const common = {
  setupFiles: ['tests/support/end-with-runner.ts', 'tests/support/patience.ts'],
  // No test is about how long it takes, and a busy machine is slow.
  testTimeout: 300_000,
  hookTimeout: 300_000,
  expect: { poll: { timeout: 90_000 } },
};

/** They put something in the place of a module of Node, which their neighbours must not see. */
const replacing = ['services/sqlite/engine/connections.test.ts', 'services/git/planted-files.test.ts'];

/** What measures, and what starts a whole host again and again: beside others, those would be starved, and everybody late. */
const alone = ['tests/e2e/bench.test.ts', 'tests/e2e/regression.test.ts', 'tests/e2e/systemd.test.ts'];

const unit = codeFolders.map((folder) => `${folder}/**/*.test.ts`);

const asksForMore = (file: string) => /FAULT_TRIALS|support\/trials/.test(readFileSync(file, 'utf8'));

/** With `npm run test:faults` the faults, and the files that try more then, by themselves or by a fixture. */
function chosen(patterns: readonly string[]): string[] {
  if (!isWhole) return [...patterns];
  const fixtures = globSync(codeFolders.map((folder) => `${folder}/**/*.fixture.ts`))
    .filter(asksForMore)
    .map((path) => `/${basename(path)}'`);
  const usesOne = (file: string) => fixtures.some((fixture) => readFileSync(file, 'utf8').includes(fixture));
  return globSync(patterns).filter(
    (file) => file.startsWith('tests/faults/') || asksForMore(file) || usesOne(file),
  );
}

export default defineConfig({
  test: {
    // A third of a test's time is waiting: on two cores, three at once.
    maxWorkers: 3,
    reporters: ['default', './tests/support/reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          ...common,
          include: chosen(unit),
          exclude: replacing,
          // Modules are loaded once for all files of a worker: loading them took a fifth of the time.
          isolate: false,
        },
      },
      { test: { name: 'replacing', ...common, include: chosen(replacing) } },
      {
        test: { name: 'fleet', ...common, include: chosen(['tests/*.test.ts']) },
      },
      {
        test: {
          name: 'faults',
          ...common,
          include: ['tests/faults/*.test.ts'],
          // They take long: npm run test:faults has them.
          exclude: isWhole
            ? []
            : ['tests/faults/{old-npm,foreign-servers,clock,full-quota,health-load}.test.ts'],
          maxConcurrency: 2,
        },
      },
      {
        test: {
          name: 'e2e',
          ...common,
          include: chosen(['tests/e2e/*.test.ts']),
          exclude: alone,
        },
      },
      {
        test: {
          name: 'alone',
          ...common,
          include: chosen(alone),
          fileParallelism: false,
        },
      },
    ],
  },
});
