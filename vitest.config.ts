import { defineConfig } from 'vitest/config';

// Two projects: what is pure runs in parallel; what uses the kernel runs file by file, because namespaces,
// xenstoreds and packets are real and two cores are few.
export default defineConfig({
  test: {
    passWithNoTests: false,
    // A case without its expected files is a failure; `-u` writes them.
    update: 'none',
    projects: [
      // A limit for what hangs; on a busy machine the longest take seconds.
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'native/*/test/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
