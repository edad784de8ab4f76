import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { steering } from '../../model/one-line.js';
import { spawnGuarded } from './guard.js';

/** The most output of a program that is passed on: further lines, and the rest of a longer line, are dropped. */
const bounds = { lines: 100, characters: 1000 };

/** How long the output of a program is still read after its end, in ms. */
const drainMs = 1000;

/** PATH of scripts and hooks, independent of the daemon's own. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Variables passed on: by these libxenstore finds a xenstored that is not in its usual place. */
const inherited = ['XENSTORED_PATH', 'XENSTORED_RUNDIR'];

export interface ProgramOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Its stdin; empty by default. */
  readonly input?: string;
  readonly timeoutMs: number;
  /** Called with each line of its stdout and stderr, within `bounds`. */
  readonly line: (line: string) => void;
}

/** An operator's program, running in a process group of its own. */
export class Program {
  readonly #child: ChildProcess;
  /** Resolves when it has ended: undefined after exit status 0, else how it ended, as text. Never rejects. */
  readonly ended: Promise<string | undefined>;
  #killed: string | undefined;

  /** @param file run without a shell */
  constructor(file: string, { args = [], env = {}, input = '', timeoutMs, line }: ProgramOptions) {
    const base = Object.fromEntries(
      inherited.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    );
    const child = spawnGuarded(file, args, {
      cwd: '/',
      env: { PATH: path, LANG: 'C.UTF-8', ...base, ...env },
    });
    this.#child = child;
    // EPIPE from a program that does not read its input is no error.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const counter = { lines: 0 };
    for (const stream of [child.stdout, child.stderr]) readLines(stream, counter, line);
    const timer = setTimeout(
      () => this.kill(`it did not end within ${timeoutMs / 1000} s and was killed`),
      timeoutMs,
    );
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      // Not "close": a process that it left running may hold its output open for ever.
      child.once('exit', (status, signal) => {
        resolve(
          this.#killed ??
            (status === 0
              ? undefined
              : status === null
                ? `it was ended by ${signal}`
                : `it ended with status ${status}`),
        );
      });
    });
    void this.ended.then(() => {
      clearTimeout(timer);
      // What it wrote before it ended is read first. A process that it left running may hold the pipes for ever.
      setTimeout(() => {
        for (const stream of [child.stdout, child.stderr]) stream.destroy();
      }, drainMs).unref();
    });
  }

  /** Kills its process group. @param reason the value of `ended` */
  kill(reason: string): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    this.#killed = reason;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // ESRCH: it has just ended.
    }
  }
}

function readLines(stream: Readable, counter: { lines: number }, line: (line: string) => void): void {
  let rest = '';
  const tell = (text: string): void => {
    if (text === '' || counter.lines > bounds.lines) return;
    counter.lines++;
    // The output may contain text that a guest wrote.
    line(
      counter.lines > bounds.lines
        ? 'further output is left out'
        : text.slice(0, bounds.characters).replace(steering, '?'),
    );
  };
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(0, bounds.characters);
    for (const one of lines) tell(one);
  });
  // Also where it is destroyed, before its end.
  stream.on('close', () => tell(rest));
  stream.on('error', () => undefined);
}
