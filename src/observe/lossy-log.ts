/** Pauses in ms before lines that wait are tried again, doubled each time. */
const retryMs = { first: 20, longest: 1000 };
/** The most characters that wait. */
const maxWaiting = 1 << 20;

/**
 * A stream for pino that never waits. Lines that its destination does not take now are kept, up to a megabyte; the next are
 * lost, and how many is a line of its own afterwards. A daemon that waited for its log would be killed by the watchdog when
 * journald stands still.
 */
export class LossyLog {
  readonly #send: (line: string) => boolean;
  readonly #waiting: string[] = [];
  #characters = 0;
  #lost = 0;
  #retryMs = retryMs.first;
  #timer: NodeJS.Timeout | undefined;

  /** @param send writes a line without waiting; false when it was not taken */
  constructor(send: (line: string) => boolean) {
    this.#send = send;
  }

  write(line: string): void {
    if (this.#timer === undefined && this.#send(line)) return;
    if (this.#lost > 0 || this.#characters + line.length > maxWaiting) this.#lost++;
    else {
      this.#waiting.push(line);
      this.#characters += line.length;
    }
    this.#timer ??= setTimeout(() => this.#retry(), this.#retryMs).unref();
  }

  #retry(): void {
    this.#timer = undefined;
    const sent = this.#waiting.findIndex((line) => !this.#send(line));
    for (const line of this.#waiting.splice(0, sent < 0 ? this.#waiting.length : sent))
      this.#characters -= line.length;
    if (sent < 0 && this.#tellLost()) {
      this.#retryMs = retryMs.first;
      return;
    }
    this.#retryMs = sent > 0 ? retryMs.first : Math.min(this.#retryMs * 2, retryMs.longest);
    this.#timer = setTimeout(() => this.#retry(), this.#retryMs).unref();
  }

  /** @returns false when lines were lost and that could not be said yet */
  #tellLost(): boolean {
    if (this.#lost === 0) return true;
    const record = { level: 'warn', time: new Date().toISOString(), lost: this.#lost, msg: 'log lines lost' };
    if (!this.#send(`${JSON.stringify(record)}\n`)) return false;
    this.#lost = 0;
    return true;
  }
}
