import { defineConfig } from 'vitest/config';

import { codeFolders } from './config/catalogue.ts';

const setupFiles = ['tests/support/end-with-runner.ts'];

export default defineConfig({
  test: {
    reporters: ['default', './tests/support/reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          setupFiles,
          include: codeFolders.map((folder) => `${folder}/**/*.test.ts`),
        },
      },
      {
        test: { name: 'fleet', setupFiles, include: ['tests/*.test.ts'], testTimeout: 30_000 },
      },
      {
        test: {
          name: 'faults',
          setupFiles,
          include: ['tests/faults/*.test.ts'],
          testTimeout: 60_000,
          maxConcurrency: 2,
        },
      },
      {
        test: {
          name: 'e2e',
          setupFiles,
          include: ['tests/e2e/*.test.ts'],
          testTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
