import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    reporters: ['default', './tests/support/reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{config,runtime,services,health,dashboard,scripts}/**/*.test.ts'],
        },
      },
      {
        test: { name: 'fleet', include: ['tests/*.test.ts'], testTimeout: 30_000 },
      },
      {
        test: { name: 'faults', include: ['tests/faults/*.test.ts'], testTimeout: 60_000 },
      },
      {
        test: { name: 'e2e', include: ['tests/e2e/*.test.ts'], testTimeout: 120_000, fileParallelism: false },
      },
    ],
  },
});
