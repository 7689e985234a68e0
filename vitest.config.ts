import { defineConfig } from 'vitest/config';

import { codeFolders } from './config/catalogue.ts';

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
          include: codeFolders.map((folder) => `${folder}/**/*.test.ts`),
          exclude: replacing,
          // Modules are loaded once for all files of a worker: loading them took a fifth of the time.
          isolate: false,
        },
      },
      { test: { name: 'replacing', ...common, include: replacing } },
      {
        test: { name: 'fleet', ...common, include: ['tests/*.test.ts'] },
      },
      {
        test: {
          name: 'faults',
          ...common,
          include: ['tests/faults/*.test.ts'],
          // They take long: npm run test:faults has them.
          exclude:
            process.env['FAULT_TRIALS'] === 'all'
              ? []
              : ['tests/faults/{old-npm,foreign-servers,clock,full-quota,health-load}.test.ts'],
          maxConcurrency: 2,
        },
      },
      {
        test: {
          name: 'e2e',
          ...common,
          include: ['tests/e2e/*.test.ts'],
          exclude: alone,
        },
      },
      {
        test: {
          name: 'alone',
          ...common,
          include: alone,
          fileParallelism: false,
        },
      },
    ],
  },
});
