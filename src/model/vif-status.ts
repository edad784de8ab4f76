import type { Block } from './block.js';
import type { ErrorCode, ErrorKind } from './error-codes.js';
import type { Holding } from './holding.js';
import type { Traffic } from './observed.js';
import type { Problem } from './operation-error.js';

export type VifPhase = 'new' | 'waiting' | 'attached' | 'failed' | 'closing';

/** One vif as `vifd status` shows it. What is not known is null. */
export interface VifStatus {
  readonly vif: string;
  readonly domid: number;
  readonly devid: number;
  readonly state: VifPhase;
  /** When it came into that state, ISO 8601. */
  readonly since: string;
  readonly topology: string | null;
  readonly bridge: string | null;
  /** The netdev's name now, and its index; null while there is none. */
  readonly netdev: string | null;
  readonly ifindex: number | null;
  readonly mac: string | null;
  /** The guest's addresses: of its `ip` key, or else those that were chosen for it. */
  readonly ip: readonly string[];
  readonly mtu: number | null;
  /** The group of its netdev; null while there is none. */
  readonly group: number | null;
  /** The administrator's sets that it is to be in. */
  readonly sets: readonly string[];
  /** What its frames are held to; null before it is attached, and when that fails. */
  readonly holding: Holding | null;
  /** The ports of this domain that lead to it, as printForward says them. */
  readonly forwards: readonly string[];
  /** What else it is kept from: other isolated vifs, private networks. */
  readonly keptFrom: readonly string[];
  /** The other vifs of the same card, by one of which its traffic goes now; empty where it goes by this one. */
  readonly standbyFor: readonly string[];
  /** Since when and at whose request no frame passes; null where they do. */
  readonly blocked: Pick<Block, 'since' | 'by'> | null;
  /** From the event that made attaching possible to the status written, in ms. */
  readonly attachMs: number | null;
  /** Frames and packets of the guest that anti-spoofing dropped, by reason; empty when nothing is filtered. */
  readonly drops: Readonly<Record<string, number>>;
  /** What the netdev counted: `rx` is what the guest sent. Null while there is none. */
  readonly traffic: Traffic | null;
  /** What an attached vif lacks and goes on without (a way out, IPv6), a sentence each. */
  readonly missing: readonly string[];
  /** The same with the code and the kind of each; docs/reference/errors.md has them all. */
  readonly problems: readonly Problem[];
  readonly error: string | null;
  /** What the error is about, one of a few words. */
  readonly errorKind: ErrorKind | null;
  /** Which error it is; docs/reference/errors.md has them all. */
  readonly errorCode: ErrorCode | null;
}

/** What has come of `vifd block` or `vifd allow`. */
export interface BlockReply {
  /** Whether it was so before. */
  readonly before: boolean;
  /** The vifs that it is about: none where the guest has gone, more than one where a card has several. */
  readonly vifs: readonly VifStatus[];
  /** Whether what was asked for is in effect on the machine; false where that takes longer, or failed. */
  readonly inEffect: boolean;
}
