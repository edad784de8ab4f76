import type { ActionOf, IpAction } from '../../src/model/action.js';
import { contains, formatNetwork, hostOf, type Network, parseNetwork } from '../../src/model/address.js';
import type { IpState } from '../../src/model/ip.js';
import type { Masquerade } from '../../src/model/masquerade.js';
import type { Element } from '../../src/model/nft.js';
import { type Link, vifOfLink } from '../../src/model/observed.js';
import type { ProxyEntry } from '../../src/model/proxy.js';
import { isDefault, type NextHop, type Route, type RouteView } from '../../src/model/route.js';
import { localTable, mainTable, type RoutingRule, type TableRoute } from '../../src/model/routing-rule.js';
import type { NftMachine, PlainMasquerade } from './nft-machine.js';

/**
 * `"ip"` of `observed.json`: routes are vifd's, except default routes, those of `others`, and those `via` a gateway; `dev` is a device's name. A
 * sysctl that is not given has the kernel's default.
 */
export interface PlainIp {
  readonly routes?: readonly {
    to: string;
    dev: string;
    src?: string;
    via?: string;
    others?: boolean;
    metric?: number;
  }[];
  readonly neighbours?: readonly { address: string; dev: string; mac: string }[];
  /** `vif` is the owner, by default that of the route to the address. */
  readonly proxies?: readonly { address: string; dev: string; vif?: string }[];
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly masquerades?: Readonly<Record<string, PlainMasquerade>>;
  readonly elements?: readonly (Element & { readonly owner: string })[];
  /** Rules beside the three that the kernel has; `from`, `to` and so on are as `ip rule` has them. */
  readonly rules?: readonly PlainRule[];
  /** The routes of tables other than main, by the table's number; `dev` is `throw` or `unreachable` for one that leads nowhere. */
  readonly tables?: Readonly<Record<string, readonly { to: string; dev: string }[]>>;
  readonly resolvers?: readonly string[];
  readonly dhcp?: Readonly<Record<string, string>>;
}

export interface PlainRule {
  readonly pref: number;
  readonly lookup?: number;
  readonly goto?: number;
  readonly refuses?: boolean;
  readonly not?: boolean;
  readonly iif?: string;
  readonly from?: string;
  readonly to?: string;
  readonly fwmark?: number;
  readonly suppress?: number;
  readonly asksMore?: boolean;
}

/** The rules of a machine, for both families. */
function rulesOf(plain: readonly PlainRule[]): RoutingRule[] {
  const everywhere: PlainRule[] = [
    { pref: 0, lookup: localTable },
    { pref: 32_766, lookup: mainTable },
    { pref: 32_767, lookup: 253 },
  ];
  const networkOf = (text: string | undefined) => (text === undefined ? undefined : network(text));
  return ([4, 6] as const).flatMap((family) =>
    [...everywhere, ...plain]
      .map(({ pref, lookup, goto, refuses = false, suppress = -1, fwmark, ...rule }): RoutingRule => {
        const does: RoutingRule['does'] =
          lookup !== undefined
            ? { kind: 'look-up', table: lookup, longerThan: suppress }
            : goto !== undefined
              ? { kind: 'goto', pref: goto }
              : { kind: refuses ? 'refuse' : 'nothing' };
        return {
          family,
          pref,
          does,
          inverted: rule.not ?? false,
          iif: rule.iif,
          from: networkOf(rule.from),
          to: networkOf(rule.to),
          mark: fwmark === undefined ? undefined : { value: fwmark, mask: 0xffffffff },
          asksMore: rule.asksMore ?? false,
        };
      })
      .sort((a, b) => a.pref - b.pref),
  );
}

const defaults: Record<string, string> = { accept_ra: '1', accept_redirects: '1', proxy_delay: '80' };

const network = (text: string): Network => {
  const parsed = parseNetwork(text);
  if (parsed === undefined) throw new Error(`${text} is no network`);
  return parsed;
};
const same = (a: Network, b: Network): boolean => formatNetwork(a) === formatNetwork(b);

/** The routes, neighbour and proxy entries and sysctls of a machine in memory, as far as plans depend on them. */
export class IpMachine implements IpState {
  #routes: Route[];
  readonly #rules: readonly RoutingRule[];
  readonly #tables: ReadonlyMap<number, readonly TableRoute[]>;
  readonly #vifs: ReadonlySet<number>;
  readonly #nextHops: NextHop[];
  #neighbours: { address: string; device: number; mac: string }[];
  #proxies: ProxyEntry[];
  readonly #sysctls: Map<string, string>;
  readonly masquerades: ReadonlyMap<string, Masquerade>;
  readonly resolvers: readonly string[];
  readonly dhcp: Map<string, string>;

  constructor(plain: PlainIp, links: readonly Link[], { masquerades }: NftMachine) {
    this.#vifs = new Set(links.filter(vifOfLink).map(({ index }) => index));
    const device = (name: string): number => {
      const link = links.find((each) => each.name === name);
      if (link === undefined) throw new Error(`there is no device ${name}`);
      return link.index;
    };
    this.#nextHops = (plain.routes ?? []).flatMap(({ via, dev }) =>
      via === undefined ? [] : [{ address: network(via), device: device(dev) }],
    );
    this.#routes = (plain.routes ?? []).map(({ to, dev, src, via, others = false, metric }) => {
      const ours = !isDefault(network(to)) && !others && via === undefined;
      return { to: network(to), device: device(dev), metric: metric ?? (ours ? 2 : 0), source: src, ours };
    });
    this.#rules = rulesOf(plain.rules ?? []);
    this.#tables = new Map(
      Object.entries(plain.tables ?? {}).map(([table, routes]) => [
        Number(table),
        routes.map(({ to, dev }): TableRoute => {
          const does = dev === 'throw' ? 'throws' : dev === 'unreachable' ? 'refuses' : 'leads';
          return { to: network(to), does, device: does === 'leads' ? device(dev) : 0 };
        }),
      ]),
    );
    this.#neighbours = (plain.neighbours ?? []).map(({ dev, ...rest }) => ({ ...rest, device: device(dev) }));
    this.#proxies = (plain.proxies ?? []).map(({ address, dev, vif }) => {
      const to = this.routes.to(hostOf(network(address)))?.device;
      const owner = vif ?? links.find(({ index }) => index === to)?.name;
      return { address: hostOf(network(address)), device: device(dev), owner };
    });
    this.#sysctls = new Map(Object.entries(plain.sysctls ?? {}));
    this.masquerades = masquerades;
    this.resolvers = plain.resolvers ?? [];
    this.dhcp = new Map(Object.entries(plain.dhcp ?? {}));
  }

  readonly routes: RouteView = {
    to: (to) => this.#routes.find((route) => route.ours && same(route.to, to)),
    before: (to) => this.#routes.find((route) => !route.ours && route.metric < 2 && same(route.to, to)),
    ours: () => this.#routes.filter(({ ours }) => ours),
    onDevice: (index) => this.#routes.filter(({ ours, device }) => ours && device === index),
    defaultDevice: (family) =>
      this.#routes.find(({ ours, to }) => !ours && to.prefix === 0 && to.family === family)?.device,
    waysOut: (family) => [
      ...new Set(
        this.#routes
          .filter(({ ours, to }) => !ours && isDefault(to) && to.family === family)
          .map((route) => route.device),
      ),
    ],
    rules: (family) => this.#rules.filter((rule) => rule.family === family),
    inTable: (table, to) =>
      [...(this.#tables.get(table) ?? [])]
        .filter((route) => contains(route.to, to))
        .sort((a, b) => b.to.prefix - a.to.prefix)[0],
    leadsElsewhere: (address) =>
      this.#routes.some(
        ({ ours, to, device: at }) => !ours && !isDefault(to) && !this.#vifs.has(at) && contains(to, address),
      ),
    nextHops: () => this.#nextHops,
    neighbours: (index) =>
      new Map(
        this.#neighbours
          .filter(({ device }) => device === index)
          .map(({ address, mac }): [string, string] => [address, mac]),
      ),
    proxies: () => this.#proxies,
    proxiesOf: (owner) => this.#proxies.filter((proxy) => proxy.owner === owner),
    proxiesFor: (address) => this.#proxies.filter((proxy) => proxy.address.address === address),
  };

  sysctl(name: string): string {
    return this.#sysctls.get(name) ?? defaults[name.split('/').at(-1) ?? ''] ?? '0';
  }

  /** Deletes what the kernel deletes when a device goes down. */
  down(index: number): void {
    this.#routes = this.#routes.filter(({ device }) => device !== index);
    this.forgetNeighbours(index);
  }

  forgetNeighbours(index: number): void {
    this.#neighbours = this.#neighbours.filter(({ device }) => device !== index);
  }

  /** @throws when the kernel would refuse it */
  perform(action: Exclude<IpAction, ActionOf<'add-address' | 'delete-address'>>): void {
    switch (action.kind) {
      case 'set-route': {
        const { to, source } = action.route;
        this.#routes = this.#routes.filter((route) => !route.ours || !same(route.to, to));
        this.#routes.push({ to, device: action.index, metric: 2, source, ours: true });
        return;
      }
      case 'delete-route':
        this.#routes = this.#routes.filter(
          (route) => route.device !== action.index || !same(route.to, action.to),
        );
        return;
      case 'set-neighbour':
      case 'delete-neighbour': {
        const { address } = action.address;
        this.#neighbours = this.#neighbours.filter(
          (each) => each.device !== action.index || each.address !== address,
        );
        if (action.kind === 'set-neighbour')
          this.#neighbours.push({ address, device: action.index, mac: action.mac });
        return;
      }
      case 'set-proxy':
      case 'delete-proxy': {
        const owner = this.#proxies.find(
          (proxy) => proxy.device === action.index && same(proxy.address, action.address),
        )?.owner;
        if (action.kind === 'delete-proxy' && owner !== action.owner) return;
        this.#proxies = this.#proxies.filter(
          (proxy) => proxy.device !== action.index || !same(proxy.address, action.address),
        );
        if (action.kind === 'set-proxy')
          this.#proxies.push({ address: action.address, device: action.index, owner: action.owner });
        return;
      }
      case 'announce':
        this.#proxies = this.#proxies.map((proxy) =>
          proxy.device === action.index && same(proxy.address, action.address)
            ? { ...proxy, announced: action.carrier }
            : proxy,
        );
        return;
      case 'set-sysctl':
        this.#sysctls.set(action.sysctl.name, action.sysctl.value);
        return;
      case 'set-dhcp':
        this.dhcp.set(action.vif, action.entry);
        return;
      case 'delete-dhcp':
        this.dhcp.delete(action.vif);
        return;
      // Nothing that is observed changes.
      case 'forget-connections':
        return;
      default:
        action satisfies never;
    }
  }

  /** Takes over a vif's state on a device from another machine, except where this one has its own. */
  inherit(former: IpMachine, device: number, index: number, vif: string): void {
    for (const route of former.routes.onDevice(device))
      if (this.routes.to(route.to) === undefined) this.#routes.push({ ...route, device: index });
    for (const [address, mac] of former.routes.neighbours(device))
      if (!this.routes.neighbours(index).has(address)) this.#neighbours.push({ address, mac, device: index });
    const entry = former.dhcp.get(vif);
    if (entry !== undefined && !this.dhcp.has(vif)) this.dhcp.set(vif, entry);
  }
}
