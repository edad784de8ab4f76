import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { endWithUs } from './guard.js';

/** What a program may say: the rest of a longer line, and further lines, are dropped. */
const bounds = { lines: 100, characters: 1000 };

/** What scripts find on PATH: not what the daemon happened to be started with. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** How libxenstore finds a xenstored that is not in its usual place. */
const inherited = ['XENSTORED_PATH', 'XENSTORED_RUNDIR'];

export interface ProgramOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** For its stdin, which is empty otherwise. */
  readonly input?: string;
  readonly timeoutMs: number;
  /** Told what it writes to stdout and stderr, line by line; bounded. */
  readonly line: (line: string) => void;
}

/** A program of somebody else's in a process group of its own. */
export class Program {
  readonly #child: ChildProcess;
  /** Resolves when it has ended: undefined when it went well, else how it ended, in words. Never rejects. */
  readonly ended: Promise<string | undefined>;
  #killed: string | undefined;

  /** @param file run as it is, without a shell */
  constructor(file: string, { args = [], env = {}, input = '', timeoutMs, line }: ProgramOptions) {
    const base = Object.fromEntries(
      inherited.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    );
    const child = spawn(file, args, {
      cwd: '/',
      env: { PATH: path, LANG: 'C.UTF-8', ...base, ...env },
      // A group of its own, so that what it started ends with it.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child = child;
    endWithUs(child);
    // A program that does not read its input is none the worse for it.
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
      // Not "close": what it left running may hold its output open for ever.
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
    void this.ended.then(() => clearTimeout(timer));
  }

  /** Ends it and all it has started. @param reason for `ended` */
  kill(reason: string): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    this.#killed = reason;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // ESRCH: it has just ended by itself.
    }
  }
}

function readLines(stream: Readable, counter: { lines: number }, line: (line: string) => void): void {
  let rest = '';
  const tell = (text: string): void => {
    if (text === '' || counter.lines > bounds.lines) return;
    counter.lines++;
    // Whatever it was given to print may hold what a guest wrote.
    line(
      counter.lines > bounds.lines
        ? 'there is more, which is left out'
        : text.slice(0, bounds.characters).replace(/\p{Cc}/gu, '?'),
    );
  };
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(0, bounds.characters);
    for (const one of lines) tell(one);
  });
  stream.on('end', () => tell(rest));
  stream.on('error', () => undefined);
}
