import { defineConfig } from 'vitest/config';

// For what hangs; on a busy machine the longest tests take seconds.
const limits = { testTimeout: 60_000, hookTimeout: 60_000 };

/**
 * Files that mostly wait, and in which no time limit is near: three of them run at once, each in its own namespaces. Where what is
 * counted or timed depends on how busy the machine is, a file is left out.
 */
const unhurried = [
  'test/integration/attach/{birth,bridge-options,errors,hooks,removal,scripts}.test.ts',
  'test/integration/cli/{check-others,check-vif,commands,demo,plan-paste}.test.ts',
  'test/integration/differential/*.test.ts',
  'test/integration/filter/{bridge,forwarding,protect-host,routed,router,script}.test.ts',
  'test/integration/nat/{addresses,forward,ways-out}.test.ts',
  'test/integration/observe/{control,journal,obstacles,prometheus}.test.ts',
  'test/integration/openvswitch/*.test.ts',
  'test/integration/package/*.test.ts',
  'test/integration/route/{route,several-*}.test.ts',
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
          maxWorkers: 3,
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
