import { sameList } from '../../model/list.js';
import { chainMark, type InstalledChain } from '../../model/nft.js';
import { parseChainName } from '../../nft/tables.js';
import { decodeChain, type NftMessage, nft, policyDrop } from './messages.js';

/** A chain as it is in the kernel. */
export interface Chain {
  readonly handle: bigint;
  /** The vif whose chain it is; undefined for a chain of the rules or of another program. */
  readonly vif: string | undefined;
  readonly hooked: boolean;
  device: string;
  policy: number | undefined;
  /** Whether its netdev has gone: kernels before 6.16 delete the chain with it, without a notification. */
  doubtful: boolean;
  /** Comments by handle, in the order in which the rules were added. */
  readonly rules: Map<bigint, string>;
}

/** The chains of one table by name, with the comments of their rules, built from its messages. */
export class Chains {
  readonly #hasVifs: boolean;
  readonly #byName = new Map<string, Chain>();
  readonly #names = new Map<bigint, string>();
  readonly #byVif = new Map<string, Map<string, Chain>>();
  #changes = 0;

  /**
   * @param hasVifs whether chains named as {@link parseChainName} says are the vifs'
   */
  constructor(hasVifs: boolean) {
    this.#hasVifs = hasVifs;
  }

  /** How often chains that are no vif's, or their rules, have changed. */
  get changes(): number {
    return this.#changes;
  }

  get byName(): ReadonlyMap<string, Chain> {
    return this.#byName;
  }

  /** The chains by the name of the vif that they are for, then by their own. */
  get byVif(): ReadonlyMap<string, ReadonlyMap<string, Chain>> {
    return this.#byVif;
  }

  /** The chains of a vif, compared with what its chain should be. */
  ofVif(vif: string): InstalledChain[] {
    return [...(this.#byVif.get(vif) ?? [])].map(([name, chain]) => ({
      chain: name,
      device: chain.device,
      ...kindOf(vif, chain),
    }));
  }

  /** Notes that the netdev with this index is gone (undefined: any may be), and that its chain may be. */
  deviceGone(index: number | undefined): void {
    for (const chains of this.#byVif.values()) {
      for (const [name, chain] of chains)
        chain.doubtful ||= index === undefined || parseChainName(name)?.index === index;
    }
  }

  /** Applies a message about a chain. @returns the names that the chain had before and has now */
  apply(message: NftMessage): string[] {
    const { name, handle, hooked, device, policy } = decodeChain(message);
    const former = this.#names.get(handle);
    // The chain may have been renamed.
    const touched = [name, former ?? name];
    const known = former === name ? this.#byName.get(name) : undefined;
    if (message.type === nft.newChain && known) {
      // An update names only the devices that it adds (Linux 6.4 and later).
      known.device = device || known.device;
      known.policy = policy ?? known.policy;
      known.doubtful = false;
      this.#note(known);
      return touched;
    }
    for (const each of touched) this.#drop(each);
    if (message.type === nft.newChain) {
      const vif = this.#hasVifs ? parseChainName(name)?.vif : undefined;
      this.#add(name, { handle, vif, hooked, device, policy, doubtful: false, rules: new Map() });
    }
    return touched;
  }

  /** Notes a rule of a chain by its handle and comment, or without one that it is gone. */
  applyRule(name: string, handle: bigint, comment: string | undefined): void {
    const chain = this.#byName.get(name);
    if (chain === undefined) return;
    if (comment === undefined) chain.rules.delete(handle);
    else chain.rules.set(handle, comment);
    this.#note(chain);
  }

  #note({ vif }: Chain): void {
    if (vif === undefined) this.#changes++;
  }

  #add(name: string, chain: Chain): void {
    this.#note(chain);
    this.#byName.set(name, chain);
    this.#names.set(chain.handle, name);
    if (chain.vif === undefined) return;
    const ofVif = this.#byVif.get(chain.vif) ?? new Map<string, Chain>();
    this.#byVif.set(chain.vif, ofVif.set(name, chain));
  }

  #drop(name: string): void {
    const chain = this.#byName.get(name);
    if (chain === undefined) return;
    this.#note(chain);
    this.#byName.delete(name);
    this.#names.delete(chain.handle);
    const ofVif = this.#byVif.get(chain.vif ?? '');
    ofVif?.delete(name);
    if (chain.vif !== undefined && ofVif?.size === 0) this.#byVif.delete(chain.vif);
  }
}

/** Whether a vif's chain is as vifd makes one, and of which kind. */
function kindOf(
  vif: string,
  { doubtful, policy, rules }: Chain,
): { fits: boolean; blocks?: boolean; limits?: boolean; marks?: boolean } {
  const found = [...rules.values()];
  const blocks = sameList(found, [chainMark(vif, { blocks: true })]);
  const limits = sameList(found, [chainMark(vif, { limits: true })]);
  const marks = sameList(found, [chainMark(vif, { marks: true })]);
  const isOurs = blocks || limits || marks || sameList(found, [chainMark(vif, {})]);
  return {
    ...(blocks && { blocks }),
    ...(limits && { limits }),
    ...(marks && { marks }),
    fits: !doubtful && policy === policyDrop && isOurs,
  };
}
