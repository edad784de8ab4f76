/** A chain of another program in the way of a vif's packets. */
export interface Blocked {
  /** As nft names it: `ip filter FORWARD`. */
  readonly chain: string;
  /** What it does: `drops packets of the guest by its policy`. */
  readonly does: string;
  /** The commands, in the words of the program it belongs to, by which it lets this vif through. */
  readonly remedy: string;
}

/** What this domain serves to a guest: addresses by DHCP of either family, and answers for names. */
export type Served = 'dhcp' | 'dhcp6' | 'dns';

/** What the filters of other programs do with a vif's packets; undefined where they pass, or where that is not certain. */
export interface FirewallView {
  /** Between a routed vif and the device of its way out, a packet of the guest and an answer. */
  forwarded(way: {
    readonly vif: string;
    readonly out: string;
    readonly family: 4 | 6;
    readonly guest: string;
  }): Blocked | undefined;
  /** Between two ports of a bridge, for which br_netfilter calls the chains of IP. */
  bridged(way: {
    readonly vif: string;
    readonly bridge: string;
    readonly family: 4 | 6;
  }): Blocked | undefined;
  /** A guest's request to a service of this domain, and its answer. */
  served(vif: string, service: Served): Blocked | undefined;
}
