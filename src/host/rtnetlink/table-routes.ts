import { formatNetwork, type Network, networkOf } from '../../model/address.js';
import { isDefault } from '../../model/route.js';
import type { TableRoute } from '../../model/routing-rule.js';
import { type KnownRoute, throws, unicast } from './route-message.js';

/** What a message says of a route: that it has come, in place of those with its network and metric, or has gone. */
export interface Change {
  readonly added: boolean;
  readonly replaced: boolean;
}

/** Routes of others by their table, to be looked up as the kernel does when a rule leads there. */
export class TableRoutes {
  /** By table, by length of prefix, by network. */
  readonly #tables = new Map<number, Map<number, Map<string, KnownRoute[]>>>();

  /** The route of a table by which packets to a network go: that of the longest prefix, and of these of the least metric. */
  find(table: number, network: Network): TableRoute | undefined {
    const lengths = [...(this.#tables.get(table) ?? [])].filter(([prefix]) => prefix <= network.prefix);
    for (const [prefix, networks] of lengths.sort(([a], [b]) => b - a)) {
      const routes = networks.get(formatNetwork(networkOf({ ...network, prefix })));
      const [first] = [...(routes ?? [])].sort((a, b) => a.metric - b.metric);
      if (first === undefined) continue;
      const { to, device, type } = first;
      return { to, device, does: type === unicast ? 'leads' : type === throws ? 'throws' : 'refuses' };
    }
    return undefined;
  }

  /** Whether a route of any table that is no default route leads to a network with this address by one of these devices. */
  leads(address: Network, by: (device: number) => boolean): boolean {
    return [...this.#tables.keys()].some((table) => {
      const route = this.find(table, address);
      return route?.does === 'leads' && !isDefault(route.to) && by(route.device);
    });
  }

  /**
   * Adds or deletes what one message tells of: a route with all its next hops.
   * @param kept whether it is one to keep here; what it replaces goes in any case
   */
  apply(routes: readonly KnownRoute[], { added, replaced, kept }: Change & { readonly kept: boolean }): void {
    const [first] = routes;
    if (first === undefined) return;
    const isGone = (one: KnownRoute): boolean =>
      routes.some(({ key }) => key === one.key) || (added && replaced && one.metric === first.metric);
    const before = this.#at(first);
    const left = before.filter((one) => !isGone(one));
    if (added && kept) this.#put(first, [...left, ...routes]);
    else if (left.length < before.length) this.#put(first, left);
  }

  /** Deletes those that the kernel has removed without a message. */
  forget(test: (route: KnownRoute) => boolean): boolean {
    const all = [...this.#tables.values()].flatMap((lengths) =>
      [...lengths.values()].flatMap((networks) => [...networks.values()]),
    );
    const fewer = all.filter((routes) => routes.some(test));
    for (const routes of fewer) {
      this.#put(
        routes[0] as KnownRoute,
        routes.filter((one) => !test(one)),
      );
    }
    return fewer.length > 0;
  }

  #at({ table, to }: KnownRoute): readonly KnownRoute[] {
    return this.#tables.get(table)?.get(to.prefix)?.get(formatNetwork(to)) ?? [];
  }

  #put({ table, to }: KnownRoute, routes: KnownRoute[]): void {
    const lengths = this.#tables.get(table) ?? new Map<number, Map<string, KnownRoute[]>>();
    const networks = lengths.get(to.prefix) ?? new Map<string, KnownRoute[]>();
    if (routes.length > 0) networks.set(formatNetwork(to), routes);
    else networks.delete(formatNetwork(to));
    if (networks.size > 0) lengths.set(to.prefix, networks);
    else lengths.delete(to.prefix);
    if (lengths.size > 0) this.#tables.set(table, lengths);
    else this.#tables.delete(table);
  }
}
