import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { rigFile } from './rig.js';

export interface Follower {
  stop(): void;
}

/** Reads the lines of a command that runs in a domain until `stop`. */
export function follow(domain: 'dom0' | 'domnet', command: string, line: (text: string) => void): Follower {
  // In a process group of its own, so that `rig` and its ssh end together.
  const child = spawn(rigFile, [domain, command], { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
  createInterface(child.stdout).on('line', line);
  return {
    stop() {
      const running = child.exitCode === null && child.signalCode === null;
      if (running && child.pid !== undefined) process.kill(-child.pid);
    },
  };
}
