/** Something on the machine that a verdict depends on: when it comes, changes or goes, the vif is looked at again. */
export type Dependency =
  /** A network device, or what has its name in Open vSwitch: a bridge, a port, an interface. */
  | { readonly kind: 'netdev'; readonly name: string }
  /** Any change. */
  | { readonly kind: 'any-netdev' }
  /** The ports of a bridge that are not vifs. */
  | { readonly kind: 'ports-of'; readonly bridge: string }
  | { readonly kind: 'default-route' }
  /** The rules that choose a routing table, and the routes of such tables to guests. */
  | { readonly kind: 'rules' }
  /** The gateways of routes. */
  | { readonly kind: 'next-hops' }
  /** Whether a device that comes is made to forward (`default` of its sysctls), or other settings for all devices. */
  | { readonly kind: 'forwarding' }
  /** The IPv6 addresses of other guests. */
  | { readonly kind: 'guests6' }
  /** An address of this domain, on any device. */
  | { readonly kind: 'address'; readonly address: string }
  /** The addresses of this domain on devices that are no vifs. */
  | { readonly kind: 'own-addresses' }
  /** IPv6 being switched on or off on a device: its link-local address comes or goes. */
  | { readonly kind: 'ipv6-of'; readonly device: string }
  /** Open vSwitch's database being within reach, and its switch. */
  | { readonly kind: 'openvswitch' };

/** What has come, changed or gone; `anything` where that is not known. */
export type News = Exclude<Dependency, { kind: 'any-netdev' }> | { readonly kind: 'anything' };

export const netdev = (name: string): { readonly kind: 'netdev'; readonly name: string } => ({
  kind: 'netdev',
  name,
});

/** A text that is the same for the same dependency, to look it up by. */
export function dependencyKey(of: Dependency | News): string {
  switch (of.kind) {
    case 'netdev':
      return `netdev ${of.name}`;
    case 'ports-of':
      return `ports-of ${of.bridge}`;
    case 'address':
      return `address ${of.address}`;
    case 'ipv6-of':
      return `ipv6-of ${of.device}`;
    case 'any-netdev':
    case 'default-route':
    case 'rules':
    case 'next-hops':
    case 'forwarding':
    case 'guests6':
    case 'own-addresses':
    case 'openvswitch':
    case 'anything':
      return of.kind;
  }
}

/** Which items depend on what, so that news find those that they concern and ask no others. */
export class Dependents<Item> {
  readonly #byKey = new Map<string, Set<Item>>();
  readonly #keys = new Map<Item, ReadonlySet<string>>();

  /** Notes what an item depends on from now on. */
  set(item: Item, dependencies: readonly Dependency[]): void {
    const before = this.#keys.get(item) ?? new Set();
    const now = new Set(dependencies.map(dependencyKey));
    for (const key of before) {
      const items = this.#byKey.get(key);
      if (now.has(key)) continue;
      items?.delete(item);
      if (items?.size === 0) this.#byKey.delete(key);
    }
    for (const key of now) {
      const items = this.#byKey.get(key) ?? new Set();
      this.#byKey.set(key, items.add(item));
    }
    if (now.size === 0) this.#keys.delete(item);
    else this.#keys.set(item, now);
  }

  /** Those that news concern; `anything` concerns more than depend on something, and is not asked here. */
  concernedBy(news: readonly News[]): ReadonlySet<Item> {
    if (news.length === 0) return new Set();
    const keys = ['any-netdev', ...news.map(dependencyKey)];
    return new Set(keys.flatMap((key) => [...(this.#byKey.get(key) ?? [])]));
  }
}
