import { config } from './targets/config.js';
import { control } from './targets/control.js';
import { netlink } from './targets/netlink.js';
import { ovsdb } from './targets/ovsdb.js';
import { records } from './targets/records.js';
import { ruleset } from './targets/ruleset.js';
import { snapshotKeys } from './targets/snapshot.js';
import { xenstore } from './targets/xenstore.js';

/** A decoder that takes what others have written. */
export interface Target {
  readonly name: string;
  /** The inputs that it begins with, besides the corpus. */
  readonly seeds: readonly (string | Buffer)[];
  /** Words of its language. */
  readonly words: readonly string[];
  /** The most bytes of an input. */
  readonly longest: number;
  /** @throws when the decoder does what it must not */
  run(input: Buffer): void | Promise<void>;
  /** Removes what `run` has made; absent where it makes nothing. */
  close?(): void | Promise<void>;
}

export const targets: readonly Target[] = [
  config,
  snapshotKeys,
  control,
  ovsdb,
  netlink,
  xenstore,
  records,
  ruleset,
];
