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

test('without descriptors a program is refused, and the process goes on', () => {
  const guard = new URL('../../../../src/host/process/guard.ts', import.meta.url).href;
  const script = `
    import { closeSync, openSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    import { spawnGuarded } from '${guard}';
    const taken = [];
    try {
      for (;;) taken.push(openSync('/dev/null'));
    } catch {}
    try {
      spawnGuarded('/bin/true', []);
    } catch ({ code }) {
      console.log(code);
    }
    await sleep(50);
    taken.forEach(closeSync);
    spawnGuarded('/bin/true', []).once('exit', (status) => console.log(status));`;
  const words = ['--import', 'tsx', '--input-type=module', '-e', script];
  const limited = ['-c', 'ulimit -n 100; exec "$@"', 'sh', process.execPath, ...words];
  // Its cache would be left in /tmp.
  const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
  expect(execFileSync('sh', limited, { encoding: 'utf8', env })).toBe('EMFILE\n0\n');
});
