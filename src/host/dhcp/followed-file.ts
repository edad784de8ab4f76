import { existsSync, type FSWatcher, readlinkSync, unwatchFile, watch, watchFile } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

/** How long to wait for more changes before a file is read, in ms: one that is written is empty for a moment. */
const settleMs = 30;
/** The pause in ms between two looks at a file that the kernel gives no watch for. */
const pollMs = 500;
/** The longest chain of symbolic links, as the kernel follows them (MAXSYMLINKS). */
const longest = 40;

/**
 * Follows a file by inotify: what is written to it, what takes its place, and the same of each symbolic link and each missing
 * directory on the way to it. Of what is mounted over it the kernel tells nothing; {@link recheck} sees that.
 */
export class FollowedFile {
  readonly #path: string;
  readonly #changed: () => void;
  #watchers: FSWatcher[] = [];
  #polls = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param changed called when the file may have changed; it need not have */
  constructor(path: string, changed: () => void) {
    this.#path = path;
    this.#changed = changed;
    this.#arm();
  }

  /** Watches anew what is at the path now. */
  recheck(): void {
    if (!this.#closed) this.#arm();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#disarm();
  }

  #arm(): void {
    this.#disarm();
    try {
      for (const path of chainOf(this.#path)) this.#watch(path);
    } catch {
      // ENOSPC or EMFILE: the user has no more of them.
      this.#disarm();
      this.#polls = true;
      watchFile(this.#path, { interval: pollMs, persistent: false }, this.#soon);
    }
  }

  /** Watches a path for what is there, and the directory where it is, or would be, for what takes its place. */
  #watch(path: string): void {
    let [child, directory] = [path, dirname(path)];
    while (!existsSync(directory)) [child, directory] = [directory, dirname(directory)];
    // An event of the directory itself has the directory's name.
    const names = [basename(child), basename(directory), null];
    this.#follow(directory, (name) => names.includes(name));
    if (existsSync(path)) this.#follow(path, () => true);
  }

  #follow(path: string, concerns: (name: string | null) => boolean): void {
    const watcher = watch(path, { persistent: false }, (_, name) => {
      if (concerns(name)) this.#soon();
    });
    watcher.on('error', this.#soon);
    this.#watchers.push(watcher);
  }

  readonly #soon = (): void => {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#arm();
      this.#changed();
    }, settleMs).unref();
  };

  #disarm(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    if (this.#polls) unwatchFile(this.#path, this.#soon);
    this.#polls = false;
  }
}

/** The path, and each that a symbolic link leads to from there. */
function chainOf(path: string): string[] {
  const chain = [path];
  try {
    for (let at = path; chain.length < longest; chain.push(at)) at = resolve(dirname(at), readlinkSync(at));
  } catch {
    // EINVAL: it is no link; ENOENT: there is nothing.
  }
  return chain;
}
