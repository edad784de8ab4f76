/** What is in the driver domain at one moment, as `eyes.py` and Open vSwitch's database tell it. */
export interface Snapshot {
  readonly links: readonly Link[];
  readonly addresses: readonly { dev: number; address: string; scope: number }[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly { dev: number; address: string; mac: string }[];
  readonly proxies: readonly { dev: number; address: string }[];
  readonly tables: readonly { table: string; dormant: boolean; owned: boolean }[];
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
  readonly sets: readonly {
    table: string;
    set: string;
    elements: readonly { key: string; comment: string; packets: number }[];
  }[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly dnsmasqs: readonly number[];
  /** Rows of Open vSwitch's ports and their interfaces; undefined while its database is away. */
  readonly ports: readonly OvsPort[] | undefined;
  /** dnsmasq's files by vif. */
  readonly dhcp: Readonly<Record<string, string>>;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly flags: number;
  readonly mtu: number;
  readonly mac: string;
  readonly master: number;
  readonly alias: string;
  readonly qlen: number;
  readonly kind: string;
  readonly port: string;
}

export interface Route {
  readonly to: string;
  readonly dev: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly metric: number;
  readonly source: string;
  readonly gateway: string;
}

export interface Chain {
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly policy: number;
  readonly devices: readonly string[];
}

export interface Rule {
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly comment: string;
  readonly packets: number;
}

export interface OvsPort {
  readonly name: string;
  readonly bridge: string;
  /** `tag`, `trunks` and `vlan_mode`, as the database has them. */
  readonly vlans: string;
  readonly owner: string;
  /** The guest's, `attached-mac` of its interface. */
  readonly mac: string;
  /** The rest of both rows that the operator sets, as text. */
  readonly settings: string;
}

const iffUp = 1;
/** IFF_RUNNING, IFF_PROMISC and IFF_LOWER_UP: the carrier comes and goes with the other end, and a packet socket of Open vSwitch, or of tcpdump, makes a device promiscuous. */
const othersFlags = 0x40 | 0x100 | 0x10000;
const protocolKernel = 2;

export const isUp = ({ flags }: Link): boolean => (flags & iffUp) !== 0;

/** What the operator has set of a device, as text. */
export function settings({ index, name, flags, mtu, mac, master, alias, qlen, port }: Link): string {
  return JSON.stringify({ index, name, flags: flags & ~othersFlags, mtu, mac, master, alias, qlen, port });
}

/** The netdev of a vif by its name now. */
export const linkOf = ({ links }: Snapshot, name: string): Link | undefined =>
  links.find((link) => link.name === name);

/** The kernel makes these by itself, when duplicate address detection is over. */
const isMadeByKernel = (address: string): boolean => /^fe80::.*ff:fe|^ff|^fe80::\/64/.test(address);

/** Everything on the host that is one vif's, each thing with its value, and its counters. */
export interface Part {
  readonly things: ReadonlyMap<string, string>;
  readonly counters: ReadonlyMap<string, number>;
}

/** @param addresses the guest's, under which others know it: proxies and masquerading */
export function partOf(snapshot: Snapshot, vif: string, name: string, addresses: readonly string[]): Part {
  const things = new Map<string, string>();
  const counters = new Map<string, number>();
  const link = linkOf(snapshot, name);
  const devices = new Map(snapshot.links.map((one) => [one.index, { name: one.name, isUp: isUp(one) }]));
  if (link !== undefined) {
    const { index } = link;
    things.set(`link ${name}`, settings(link));
    for (const { dev, address: own, scope } of snapshot.addresses) {
      if (dev === index && !isMadeByKernel(own)) things.set(`address ${own}`, `scope ${scope}`);
    }
    for (const { dev, to, ...route } of snapshot.routes) {
      if (dev !== index || isMadeByKernel(to) || (to.includes(':') && route.protocol === protocolKernel))
        continue;
      things.set(`route ${to} table ${route.table} metric ${route.metric}`, JSON.stringify(route));
    }
    for (const { dev, address: neighbour, mac: at } of snapshot.neighbours) {
      if (dev === index) things.set(`neighbour ${neighbour}`, at);
    }
    // The kernel changes it with that of `all`.
    const follows = `net/ipv6/conf/${name}/forwarding`;
    for (const [key, value] of Object.entries(snapshot.sysctls)) {
      if (key.split('/')[3] === name && key !== follows) things.set(`sysctl ${key}`, value);
    }
  }
  for (const { address, dev } of snapshot.proxies) {
    const device = devices.get(dev);
    // One that goes down forgets them; whether they are put there before it is up again is a daemon's own affair.
    if (addresses.includes(address) && device?.isUp)
      things.set(`proxy ${address} dev ${device.name}`, 'there');
  }
  const chains = snapshot.chains.filter(({ chain }) => chain.startsWith(`${vif}_`));
  for (const { table, chain, handle, policy, devices: on } of chains) {
    things.set(`chain ${table} ${chain}`, `handle ${handle}, policy ${policy}, on ${on.join()}`);
    for (const rule of snapshot.rules) {
      if (rule.table !== table || rule.chain !== chain) continue;
      things.set(`rule ${table} ${chain} handle ${rule.handle}`, rule.comment);
      counters.set(`rule ${table} ${chain} handle ${rule.handle}`, rule.packets);
    }
  }
  for (const { table, set, elements } of snapshot.sets) {
    for (const { key, comment, packets } of elements) {
      // Whether the machine forwards IPv6 because of vifd is the first guest's doing that has it.
      if (comment !== vif || set === 'opened6') continue;
      things.set(`element ${table} ${set} ${key}`, 'there');
      counters.set(`element ${table} ${set} ${key}`, packets);
    }
  }
  for (const port of snapshot.ports ?? []) {
    if (port.owner === vif || port.name === name) things.set(`port ${port.name}`, JSON.stringify(port));
  }
  const dhcp = snapshot.dhcp[vif];
  if (dhcp !== undefined) things.set('dhcp', dhcp);
  return { things, counters };
}

/** What is not the same in two parts, as lines; counters may only grow. */
export function differences(
  before: Part,
  after: Part,
  ignore: (thing: string) => boolean = () => false,
): string[] {
  const lines: string[] = [];
  for (const [thing, value] of before.things) {
    if (ignore(thing)) continue;
    const now = after.things.get(thing);
    if (now === undefined) lines.push(`${thing} is gone (${value})`);
    else if (now !== value) lines.push(`${thing} was ${value}, is ${now}`);
  }
  for (const [thing, value] of after.things) {
    if (!before.things.has(thing) && !ignore(thing)) lines.push(`${thing} is new (${value})`);
  }
  for (const [thing, count] of before.counters) {
    const now = after.counters.get(thing);
    if (now !== undefined && now < count) lines.push(`the counter of ${thing} went from ${count} to ${now}`);
  }
  return lines;
}
