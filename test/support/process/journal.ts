import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { exec, until } from './exec.js';

/** One entry as `journalctl -o json` prints it. */
export type Entry = Record<string, string>;

/**
 * The distribution's own systemd-journald with a /run and a /var/log of its own, in a mount namespace, so that no other
 * program writes to its journal and nothing of it stays.
 */
export class Journal {
  readonly #holder: ChildProcess;
  readonly #journald: ChildProcess;

  private constructor(holder: ChildProcess, journald: ChildProcess) {
    this.#holder = holder;
    this.#journald = journald;
  }

  static async start(): Promise<Journal> {
    // Holds the mount namespace. `ip netns` needs the old /run/netns in the new /run.
    const script = `mount --rbind /run/netns /mnt && mount -t tmpfs tmpfs /run && mkdir /run/netns /run/systemd &&
      mount --move /mnt /run/netns && mount -t tmpfs tmpfs /var/log && echo ready >/run/ready && exec sleep infinity`;
    const holder = spawn('unshare', ['--mount', '--propagation=slave', 'sh', '-c', script], {
      stdio: 'ignore',
    });
    await until('the mount namespace', () =>
      exec('nsenter', ['-t', `${holder.pid}`, '-m', 'cat', '/run/ready']).catch(() => undefined),
    );
    const journald = spawn('nsenter', ['-t', `${holder.pid}`, '-m', '/lib/systemd/systemd-journald'], {
      stdio: 'ignore',
    });
    const journal = new Journal(holder, journald);
    try {
      await until('journald', () =>
        journal.exec('test', ['-S', '/run/systemd/journal/stdout']).then(
          () => true,
          () => false,
        ),
      );
    } catch (error) {
      await journal.stop();
      throw error;
    }
    return journal;
  }

  /** The command line that runs a program with stdout in this journal, and JOURNAL_STREAM set as systemd does. */
  command(words: readonly string[]): string[] {
    // systemd-cat of Debian 12 does not set it.
    const script = 'export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1); exec "$@"';
    const cat = ['systemd-cat', '--identifier=vifd', 'sh', '-c', script, 'sh'];
    return ['nsenter', '-t', `${this.#holder.pid}`, '-m', ...cat, ...words];
  }

  /** Runs a program in the mount namespace of this journal. */
  exec(file: string, args: readonly string[]): Promise<string> {
    return exec('nsenter', ['-t', `${this.#holder.pid}`, '-m', file, ...args]);
  }

  /** The entries that `journalctl` finds with these arguments, oldest first. */
  async find(...matches: string[]): Promise<Entry[]> {
    await this.exec('journalctl', ['--sync']).catch(() => undefined);
    const text = await this.exec('journalctl', ['--quiet', '--output=json', '--all', ...matches]).catch(
      // Exits 1 when there is none.
      (error: { stdout?: string }) => error.stdout ?? '',
    );
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Entry);
  }

  /** Has journald stand still, as on a full disk. */
  suspend(): void {
    this.#journald.kill('SIGSTOP');
  }

  resume(): void {
    this.#journald.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    for (const child of [this.#journald, this.#holder]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
  }
}
