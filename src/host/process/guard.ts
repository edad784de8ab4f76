import {
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
  type SpawnOptions,
  spawn,
} from 'node:child_process';

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

/**
 * A shell script that adds itself to the guard, whose input is its fd 3, and then becomes the program. The guard's input ends
 * when the last writer has closed it, so a program whose parent is killed at any moment of this is known to the guard. In a
 * subshell, so that a guard that has ended costs no SIGPIPE. What protects vifd from the kernel's OOM killer, the unit's
 * OOMScoreAdjust=, is not for what it starts: a hook that takes all memory is to be killed, and not a guest's QEMU.
 */
export const launcher = `(echo "+ $$" >&3) 2>/dev/null; exec 3>&-
read -r score </proc/self/oom_score_adj && [ "$score" -ge 0 ] || echo 0 >/proc/self/oom_score_adj
exec "$0" "$@"`;

/** Pause in ms before a guard that ended is replaced. */
const againMs = 100;

const guarded = new Set<number>();
let guard: ChildProcess | undefined;

/**
 * Starts a program in a process group of its own, which is killed when this process ends, also by SIGKILL.
 * PR_SET_PDEATHSIG would reach neither the child's own children nor a child that changes its user: the kernel clears it
 * then (commit_creds in kernel/cred.c).
 *
 * @param file run without a shell of its own; one that cannot be executed ends with status 126 or 127, and says why on stderr
 * @throws Error with a `code` where there are no descriptors for its pipes, or no process
 */
export function spawnGuarded(
  file: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): ChildProcessWithoutNullStreams {
  if (guard === undefined) start();
  const child = spawned(['-c', launcher, file, ...args], {
    ...options,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', guard?.stdin?.writable === true ? guard.stdin : 'ignore'],
  }) as ChildProcessWithoutNullStreams;
  const group = child.pid;
  // A child that could not be started has no pid; its `error` event reports that.
  if (group === undefined) return child;
  guarded.add(group);
  child.once('exit', () => {
    guarded.delete(group);
    guard?.stdin?.write(`- ${group}\n`);
  });
  return child;
}

/**
 * Starts a shell. Without descriptors Node returns a child that has no pipes, and emits an `error` which would end the process
 * where nothing listens yet (ChildProcess.prototype.spawn in its lib/internal/child_process.js).
 */
function spawned(args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn('/bin/sh', args, options);
  child.on('error', () => undefined);
  if (child.stdin == null)
    throw Object.assign(new Error('start a program: too many open files (EMFILE)'), { code: 'EMFILE' });
  return child;
}

function start(): void {
  if (guard !== undefined) return;
  try {
    startGuard();
  } catch {
    // What it is to guard most likely cannot be started either, and says so.
    guard = undefined;
    if (guarded.size > 0) setTimeout(start, againMs).unref();
  }
}

function startGuard(): void {
  // In a session of its own, so that no signal of a terminal ends it; it holds neither stdout nor the event loop.
  const child = spawned(['-c', script, 'vifd-guard', ...[...guarded].map(String)], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard = child;
  child.unref();
  // In Node.js the end of a pipe is a Socket, which has unref.
  (child.stdin as unknown as { unref(): void }).unref();
  child.stdin?.on('error', () => undefined);
  const again = (): void => {
    guard = undefined;
    if (guarded.size > 0) setTimeout(start, againMs).unref();
  };
  child.once('error', again);
  child.once('exit', again);
}
