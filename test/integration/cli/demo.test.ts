import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../../support/process/exec.js';

const demo = fileURLToPath(new URL('../../demo/demo.ts', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));

let temporary: string;
let child: ChildProcess;
let output: string;
let ended: Promise<number | string>;

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'vifd-demo-test-'));
  output = '';
  // A process group of its own, as a shell gives it.
  child = spawn(process.execPath, ['--import', 'tsx', demo], {
    cwd: root,
    detached: true,
    env: { ...process.env, TMPDIR: temporary, TSX_DISABLE_CACHE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk;
    });
  }
  ended = once(child, 'exit').then(([code, signal]) => code ?? signal);
});

afterEach(async () => {
  child.kill('SIGTERM');
  await ended;
  rmSync(temporary, { recursive: true });
});

/** Processes that inherited the demo's environment, namespaces named after it, and what is in its temporary directory. */
function leftBehind(): string[] {
  const processes = readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(temporary);
    } catch {
      return false;
    }
  });
  const namespaces = readdirSync('/run/netns').filter((name) => name.startsWith(`vifd-${child.pid}-`));
  return [...processes, ...namespaces, ...readdirSync(temporary)];
}

test('plays to its end, and leaves nothing behind', async () => {
  await until('the daemon', () => output.includes('starts vifd'));
  expect(leftBehind().length).toBeGreaterThanOrEqual(5);
  expect(await ended, output).toBe(0);
  expect(output).toContain('hotplug-error = attach vif7.0 to bridge xenbr1: no such bridge');
  expect(output).toContain('200 of 200 packets came back');
  expect(leftBehind()).toEqual([]);
  const columns = Math.max(...output.split('\n').map((line) => line.length));
  expect(columns).toBeLessThanOrEqual(100);
});

test.each([
  { name: 'before anything is there', at: 'vifd:', signal: 'SIGTERM', status: 143 },
  { name: 'while the daemon starts', at: 'starts vifd', signal: 'SIGTERM', status: 143 },
  { name: 'with a guest', at: 'ping 10.77.0.6', signal: 'SIGHUP', status: 129 },
  { name: 'during the restart', at: 'stops it', signal: 'SIGINT', status: 130 },
] as const)('leaves nothing behind when it is interrupted $name', async ({ at, signal, status }) => {
  await until(at, () => output.includes(at));
  child.kill(signal);
  expect(await ended, output).toBe(status);
  expect(leftBehind()).toEqual([]);
});

test('leaves nothing behind at a Ctrl-C, which all its children get too', async () => {
  await until('two guests', () => output.includes('ping 10.77.0.6'));
  process.kill(-(child.pid as number), 'SIGINT');
  expect(await ended, output).toBe(130);
  expect(leftBehind()).toEqual([]);
});

test('a failed step is shown, and is the exit status', async () => {
  await until('the daemon', () => output.includes('│'));
  await until('a guest', () => output.includes('makes the interface vif6.0'));
  // Its xenstored dies.
  const [xenstored] = readdirSync('/proc').filter((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return (
        command.includes('xenstored\0') && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(temporary)
      );
    } catch {
      return false;
    }
  });
  process.kill(Number(xenstored), 'SIGKILL');
  expect(await ended, output).toBe(1);
  expect(output).toContain('✘');
  expect(leftBehind()).toEqual([]);
});
