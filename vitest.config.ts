import { defineConfig } from 'vitest/config';

// For what hangs; on a busy machine the longest tests take seconds.
const limits = { testTimeout: 60_000, hookTimeout: 60_000 };

/** Files that wait for minutes, or in which no time limit is near: two of them run at once, each in its own namespaces. */
const unhurried = [
  'test/integration/route/several-*.test.ts',
  'test/integration/attach/scripts.test.ts',
  'test/integration/cli/{check-vif,commands,demo,plan-paste}.test.ts',
  'test/integration/differential/*.test.ts',
  'test/integration/observe/{control,prometheus}.test.ts',
  'test/integration/package/*.test.ts',
];

// What is pure runs in parallel; what uses the kernel runs file by file, because namespaces, xenstoreds and packets are real and
// two cores are few.
export default defineConfig({
  test: {
    passWithNoTests: false,
    // A case without its expected files is a failure; `-u` writes them.
    update: 'none',
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], ...limits } },
      {
        test: {
          name: 'unhurried',
          include: unhurried,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          ...limits,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'native/*/test/**/*.test.ts'],
          exclude: unhurried,
          fileParallelism: false,
          ...limits,
        },
      },
    ],
  },
});
