import { type ChildProcess, spawn } from 'node:child_process';

/**
 * A shell script that kills process groups at the end of its input, which the kernel causes however the writer ends. The
 * groups are its arguments, and on stdin `+ PGID` adds one and `- PGID` removes one.
 */
const script = `groups=$*
while read -r sign group; do
  case $sign in
  +) groups="$groups $group" ;;
  -) rest=; for one in $groups; do [ "$one" = "$group" ] || rest="$rest $one"; done; groups=$rest ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done`;

/** Pause in ms before a guard that ended is replaced. */
const againMs = 100;

const guarded = new Set<number>();
let guard: ChildProcess | undefined;

/**
 * Has the process group of a child, which must be its own (`detached`), killed when this process ends, also by SIGKILL.
 * PR_SET_PDEATHSIG would reach neither the child's own children nor a child that changes its user: the kernel clears it
 * then (commit_creds in kernel/cred.c).
 */
export function endWithUs(child: ChildProcess): void {
  const group = child.pid;
  // A child that could not be started has no pid; its `error` event reports that.
  if (group === undefined) return;
  guarded.add(group);
  if (guard === undefined) start();
  else tell('+', group);
  child.once('exit', () => {
    guarded.delete(group);
    tell('-', group);
  });
}

function start(): void {
  if (guard !== undefined) return;
  // In a session of its own, so that no signal of a terminal ends it; it holds neither stdout nor the event loop.
  const child = spawn('/bin/sh', ['-c', script, 'vifd-guard', ...[...guarded].map(String)], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard = child;
  child.unref();
  // In Node.js the end of a pipe is a Socket, which has unref.
  (child.stdin as unknown as { unref(): void }).unref();
  child.stdin.on('error', () => undefined);
  const again = (): void => {
    guard = undefined;
    if (guarded.size > 0) setTimeout(start, againMs).unref();
  };
  child.once('error', again);
  child.once('exit', again);
}

function tell(sign: '+' | '-', group: number): void {
  guard?.stdin?.write(`${sign} ${group}\n`);
}
