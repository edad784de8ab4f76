import type { Logger } from 'pino';
import type { FirewallView } from '../../model/firewall.js';
import { firewallView } from '../../nft/walk/firewall.js';
import { readForeignRuleset } from './foreign-ruleset.js';
import { hasLegacy, legacyFamilies } from './iptables-legacy.js';

/**
 * In ms: from a change to its reading, and the least time between two readings. That is doubled each time while a program changes what
 * its filters name without an end, up to `longest`: all vifs are looked at after each reading; and while they cannot be read.
 */
const pauseMs = { first: 200, between: 2000, longest: 60_000 };
/** More changes than this between two readings are of such a program, and not of an administrator. */
const fewChanges = 10;

/** The filters of other programs, read when they change. Those of iptables-legacy, which announces nothing, are read by {@link refresh}. */
export class Firewall {
  readonly #changed: (() => void) | undefined;
  readonly #log: Logger | undefined;
  #view: FirewallView | undefined;
  #isAlone = false;
  /** What was read last, to compare. */
  #text = '';
  #timer: NodeJS.Timeout | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #betweenMs = pauseMs.between;
  /** How many changes were noted since it was read. */
  #changes = 0;
  #told = '';
  /** How many readings have failed, one after the other. */
  #failures = 0;
  #closed = false;

  /**
   * @param changed called when what was read differs, or what was certain no longer is; undefined in a command that reads once
   */
  constructor(changed: (() => void) | undefined, log: Logger | undefined) {
    this.#changed = changed;
    this.#log = log;
  }

  /** What others filter; undefined while only vifd does, or where it could not be read. */
  get view(): FirewallView | undefined {
    return this.#view;
  }

  /** Whether it is certain that only vifd has chains at netfilter's hooks, chains of NAT included. */
  get isAlone(): boolean {
    return this.#isAlone && !hasLegacy();
  }

  /** Reads everything now. Where that fails, what was read last stays, and it is tried again. */
  async read(): Promise<void> {
    this.#readAt = performance.now();
    const isFlood = this.#changes > fewChanges;
    this.#changes = 0;
    const rules = await readForeignRuleset();
    if (this.#closed) return;
    const wasAlone = this.#isAlone;
    this.#isAlone = 'text' in rules && rules.text === '';
    if ('reason' in rules) {
      const pause = pauseMs.between * 2 ** this.#failures++;
      this.#betweenMs = Math.min(Math.max(this.#betweenMs, pause), pauseMs.longest);
      // The first may be of a moment.
      if (this.#failures === 2) this.#log?.warn({ err: new Error(rules.reason) }, failing);
      if (wasAlone) this.#changed?.();
      if (this.#changed !== undefined) this.#readLater();
      return;
    }
    this.#failures = 0;
    this.#warnOfUnread(rules.unreadLegacy);
    const isSame = rules.text === this.#text && wasAlone === this.#isAlone;
    this.#betweenMs = isFlood && !isSame ? Math.min(2 * this.#betweenMs, pauseMs.longest) : pauseMs.between;
    if (isSame) return;
    this.#text = rules.text;
    let isTold = false;
    const failed = (error: unknown): void => {
      if (!isTold) this.#log?.warn({ err: error }, unread);
      isTold = true;
    };
    this.#view = rules.ruleset && guarded(firewallView(rules.ruleset), failed);
    this.#changed?.();
  }

  /** Notes that another program has changed nf_tables. */
  change(): void {
    this.#changes++;
    this.#readLater();
  }

  #readLater(): void {
    if (this.#timer !== undefined || this.#closed) return;
    const pause = Math.max(pauseMs.first, this.#readAt + this.#betweenMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.read();
    }, pause).unref();
  }

  /** Reads again where iptables-legacy is in use, or was. */
  refresh(): void {
    if (legacyFamilies().length > 0 || this.#text.includes('\n-P ')) this.change();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #warnOfUnread(families: readonly string[]): void {
    const text = families.map((family) => `${family}tables-legacy`).join(' and ');
    if (text !== '' && text !== this.#told) this.#log?.warn({ object: text }, unread);
    this.#told = text;
  }
}

const failing = "other programs' filters not read; tried again";
const unread = 'filters that vifd cannot read; vifd check VIF tells what they do';

/** A view that answers with undefined where it throws: filters that are not understood are told of, and vifs are attached. */
function guarded(view: FirewallView, failed: (error: unknown) => void): FirewallView {
  const guard =
    <A extends readonly unknown[], R>(answer: (...asked: A) => R) =>
    (...asked: A): R | undefined => {
      try {
        return answer(...asked);
      } catch (error) {
        failed(error);
        return undefined;
      }
    };
  return {
    forwarded: guard(view.forwarded),
    bridged: guard(view.bridged),
    served: guard(view.served),
  };
}
