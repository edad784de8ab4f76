import type { Talk } from './group.js';

/** What a vif is held to, as `vifd status` shows it. */
export interface Holding {
  /** In the words of `[[vif]] antispoof`. */
  readonly antispoof: 'off' | 'mac' | 'addresses';
  /** Why it is not held: its `ip` key is empty, which mode `auto` asks for, or the configuration says `off`. Null where it is. */
  readonly because: 'no-ip' | 'configuration' | null;
  /** The addresses that its frames may come from; none with `off`, where any pass. */
  readonly macs: readonly string[];
  /** The addresses and networks that it may speak from; none with `off` and `mac`, where any pass. */
  readonly networks: readonly string[];
  /** Whether the frames by which switches speak pass. */
  readonly controlFrames: boolean;
  /** How much may pass, as printLimits says it; absent where anything does. */
  readonly limits?: readonly string[];
  /** Its group by name, and whom it talks with of the other guests; absent for none. */
  readonly group?: { readonly name: string; readonly talk: Talk };
}
