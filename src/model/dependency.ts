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
  /** The IPv6 addresses of other guests. */
  | { readonly kind: 'guests6' }
  /** An address of this domain, on any device. */
  | { readonly kind: 'address'; readonly address: string }
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
    case 'guests6':
    case 'openvswitch':
    case 'anything':
      return of.kind;
  }
}

/** What a vif depends on, made for many questions: every event asks every vif. */
export class Dependencies {
  readonly #keys: ReadonlySet<string>;

  constructor(dependencies: readonly Dependency[] = []) {
    this.#keys = new Set(dependencies.map(dependencyKey));
  }

  /** Whether news with one of these keys concern the vif. @param keys of {@link dependencyKey} */
  concern(keys: readonly string[]): boolean {
    return this.#keys.has('any-netdev') || keys.some((key) => key === 'anything' || this.#keys.has(key));
  }
}
