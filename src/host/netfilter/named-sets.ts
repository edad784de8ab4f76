import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Nftables, NftError } from 'node-libnftables';
import type { Logger } from 'pino';
import type { ActionOf } from '../../model/action.js';
import { isCovered, type Membership, type NamedSet, type NamedSets } from '../../model/named-set.js';
import { memberCommand } from '../../nft/member-command.js';
import { parseNamedSet } from '../../nft/named-set.js';
import { listJson } from './ruleset.js';

type Found = NamedSet | { readonly reason: string };
type SetAction = ActionOf<'add-to-set' | 'delete-from-set'>;

/** From a change of others' tables to the reading of the sets, in ms. */
const pauseMs = 100;

/**
 * The administrator's sets that vifs are elements of: those of the configuration, and those that vifd has elements in, which a file in
 * /run has for the next daemon. Where there are none libnftables is asked nothing.
 */
export class NamedSetMirror implements NamedSets {
  readonly #file: string;
  readonly #changed: ((vif?: string) => void) | undefined;
  readonly #log: Logger | undefined;
  #configured: readonly string[] = [];
  /** Those that vifd has elements in, or had. */
  #used: readonly string[];
  #found: ReadonlyMap<string, Found> = new Map();
  /** Why nf_tables has refused an element, by the set, until the set is another or a minute has passed. */
  readonly #refused = new Map<string, string>();
  #library: Nftables | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param changed called when others have changed one of the sets, and with the name of a vif that has left one: another may have been in
   * it by the same element; undefined in a command that only reads
   */
  constructor(file: string, changed: ((vif?: string) => void) | undefined, log: Logger | undefined) {
    this.#file = file;
    this.#changed = changed;
    this.#log = log;
    this.#used = readNames(file);
  }

  get(set: string): Found {
    const found = this.#found.get(set);
    const reason = this.#refused.get(set);
    if (found !== undefined && !('reason' in found) && reason !== undefined) return { reason };
    return found ?? { reason: absent(set) };
  }

  members(vif: string): Membership[] {
    // What nf_tables does not let go is tried again with all else that it has refused.
    return this.#all()
      .filter(({ set, owner }) => owner === vif && !this.#refused.has(set))
      .map(({ set, value }) => ({ set, value }));
  }

  /** The vifs that vifd has added elements for. */
  owners(): string[] {
    return [...new Set(this.#all().map(({ owner }) => owner))];
  }

  /** Follows these sets, and those that vifd has elements in. */
  follow(sets: readonly string[]): Promise<void> {
    this.#configured = sets;
    return this.#inTurn(() => this.#read());
  }

  /** Notes that a table that is not vifd's has changed. */
  change(): void {
    if (this.#timer !== undefined || this.#closed || this.#names().length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#inTurn(() => this.#readAndTell());
    }, pauseMs).unref();
  }

  /** Has what was refused tried again. */
  refresh(): void {
    this.#refused.clear();
    this.change();
  }

  /** Makes a change; what is refused is said by {@link get}, since a vif is on the network without it. */
  perform(action: SetAction): Promise<void> {
    return this.#inTurn(async () => {
      const { set, kind, vif, values } = action;
      if (kind === 'add-to-set') this.#use([...this.#used, set]);
      try {
        await this.#run(memberCommand(action));
      } catch (error) {
        if (!(error instanceof NftError)) throw error;
        await this.#read();
        const found = this.#found.get(set);
        if (found !== undefined && !('reason' in found) && isLeft(action, found)) {
          // One element that has gone keeps the others of a transaction.
          if (kind === 'delete-from-set' && values.length > 1)
            for (const value of values)
              await this.#run(memberCommand({ ...action, values: [value] })).catch(() => undefined);
          else this.#refused.set(set, error.message);
        }
      }
      await this.#read();
      if (kind === 'delete-from-set') this.#changed?.(vif);
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    void this.#inTurn(async () => {
      this.#library?.close();
      this.#library = undefined;
    });
  }

  #all(): { set: string; value: string; owner: string }[] {
    return [...this.#found].flatMap(([set, found]) =>
      'reason' in found
        ? []
        : found.elements.flatMap(({ value, owner }) => (owner === undefined ? [] : [{ set, value, owner }])),
    );
  }

  #names(): string[] {
    return [...new Set([...this.#configured, ...this.#used])];
  }

  /** One reading or change at a time: libnftables takes one text at a time. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #readAndTell(): Promise<void> {
    if (this.#closed) return;
    const before = this.#found;
    await this.#read();
    if (isDeepStrictEqual(before, this.#found)) return;
    this.#refused.clear();
    this.#changed?.();
  }

  async #read(): Promise<void> {
    const found = new Map<string, Found>();
    for (const name of this.#names()) found.set(name, await this.#readSet(name));
    this.#found = found;
    this.#use(this.#all().map(({ set }) => set));
  }

  async #readSet(name: string): Promise<Found> {
    try {
      this.#library ??= new Nftables();
      return parseNamedSet(await listJson(this.#library, `list set ${name}`));
    } catch (error) {
      if (error instanceof NftError && error.message.includes('No such file'))
        return { reason: absent(name) };
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  }

  async #run(command: string): Promise<void> {
    this.#library ??= new Nftables();
    await this.#library.runAside(command);
  }

  /** Notes in which sets vifd has elements. */
  #use(sets: readonly string[]): void {
    const names = [...new Set(sets)].sort();
    if (isDeepStrictEqual(names, this.#used)) return;
    this.#used = names;
    if (this.#changed === undefined) return;
    try {
      if (names.length === 0) {
        rmSync(this.#file, { force: true });
        return;
      }
      mkdirSync(dirname(this.#file), { recursive: true });
      writeFileSync(`${this.#file}.new`, JSON.stringify(names), { mode: 0o600 });
      renameSync(`${this.#file}.new`, this.#file);
    } catch (error) {
      this.#log?.warn({ err: error }, 'what is put into sets is remembered by this process alone');
    }
  }
}

const absent = (set: string): string =>
  `no such set; make it, as by nft 'add set ${set} { type ifname; }', before the rules that name it`;

/** Whether something of a change is still to be done. */
const isLeft = ({ kind, vif, values }: SetAction, { elements }: NamedSet): boolean =>
  kind === 'add-to-set'
    ? !values.every((value) => isCovered(value, elements))
    : elements.some(({ value, owner }) => owner === vif && values.includes(value));

/** The names on file; none where it is not there, or cannot be read. */
function readNames(file: string): string[] {
  try {
    const names: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(names)
      ? names.filter((name) => typeof name === 'string' && /^\w+ [\w./\\-]+ [\w./\\-]+$/.test(name))
      : [];
  } catch {
    return [];
  }
}
