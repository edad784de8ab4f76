import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { launcher } from '../../../../src/host/process/guard.js';

test.each([
  [-500, '0'],
  [0, '0'],
  [300, '300'],
])('of a daemon with the OOM score %i a script or hook has %s', (own, score) => {
  // A score below 0 takes CAP_SYS_RESOURCE, so that the kernel's file is stood in for.
  const stand = `mount -t tmpfs none /proc && mkdir /proc/self && echo ${own} >/proc/self/oom_score_adj && exec "$@" 3>/dev/null`;
  const words = [
    '--mount',
    'sh',
    '-c',
    stand,
    'sh',
    '/bin/sh',
    '-c',
    launcher,
    'cat',
    '/proc/self/oom_score_adj',
  ];
  expect(execFileSync('unshare', words, { encoding: 'utf8' }).trim()).toBe(score);
});
