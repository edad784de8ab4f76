import { isDeepStrictEqual } from 'node:util';
import { formatNetwork, type Network } from '../../model/address.js';
import type { BridgePort } from '../../model/bridge-port.js';
import { type News, netdev } from '../../model/dependency.js';
import { routerLinkLocal } from '../../model/ip.js';
import { type Link, type LinkView, netdevOfVif, type RefusedMtu, vifOfLink } from '../../model/observed.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import { Grouped } from '../grouped.js';
import { Flags, type NetlinkMessage } from '../netlink/format.js';
import { decodePort, familyBridge } from './bridge-port-message.js';
import { decodeAddress, decodeIngressQdisc, decodeLink, family, rtm } from './link-message.js';

const scopeLink = 253;
/** IFA_F_TEMPORARY (privacy addresses of IPv6) and IFA_F_TENTATIVE. */
const passingFlags = 0x41;

/** The network devices and addresses, built from a sequence of rtnetlink messages. */
export class LinkState implements LinkView {
  /** The number of carriers that came so far. */
  static #lastCarrier = 0;
  readonly #byIndex = new Map<number, Link>();
  readonly #byName = new Map<string, Link>();
  /** The indexes of those that count as a vif's, by its name: several where an alias or a former name is another's. */
  readonly #byVif = new Grouped<string, number>();
  /** Those that are no vif's, by index. */
  readonly #ofDomain = new Map<number, Link>();
  /** The indexes of the devices that have an address, by the address without its length. */
  readonly #byAddress = new Grouped<string, number>();
  /** Addresses by device index, then by text. */
  readonly #addresses = new Map<number, Map<string, Network>>();
  /** Bridge ports by device index. */
  readonly #ports = new Map<number, BridgePort>();
  /** The kinds of the qdiscs at their ingress by device index. */
  readonly #ingressQdiscs = new Map<number, string>();

  byName(name: string): Link | undefined {
    return this.#byName.get(name);
  }

  byIndex(index: number): Link | undefined {
    return this.#byIndex.get(index);
  }

  ofVif(id: VifId): Link | undefined {
    return netdevOfVif(
      id,
      this.#byVif.of(vifName(id)).flatMap((index) => this.#byIndex.get(index) ?? []),
    );
  }

  withAddress(address: string): Iterable<Link> {
    return this.#byAddress.of(address).flatMap((index) => this.#byIndex.get(index) ?? []);
  }

  ofDomain(): Iterable<Link> {
    return this.#ofDomain.values();
  }

  all(): Iterable<Link> {
    return this.#byIndex.values();
  }

  /** Applies one message. @returns the devices it changed: two for a rename, none for other messages */
  apply({ type, flags, data }: NetlinkMessage): News[] {
    switch (type) {
      case rtm.newLink:
      case rtm.delLink:
        // Bridges and IPv6 use the same types for other events: RTM_DELLINK of family AF_BRIDGE is a port that leaves its
        // bridge, while the device stays.
        if (data.readUInt8(0) === familyBridge) return this.#applyPort(data, type === rtm.newLink);
        if (data.readUInt8(0) !== family.unspec) return [];
        if (type === rtm.delLink) return this.#remove(data.readInt32LE(4));
        return this.#put(this.#decodeLink(data, (flags & Flags.MULTI) !== 0));
      case rtm.newAddr:
      case rtm.delAddr:
        return this.#applyAddress(data, type === rtm.newAddr);
      case rtm.newQdisc:
      case rtm.delQdisc:
        return this.#applyQdisc(data, type === rtm.newQdisc);
      default:
        return [];
    }
  }

  /** @param isDumped whether the message is of a dump, which says nothing of when a carrier came */
  #decodeLink(data: Buffer, isDumped: boolean): Link {
    const { link, carrier } = decodeLink(data);
    const { index } = link;
    link.addresses = [...(this.#addresses.get(index)?.values() ?? [])];
    link.port = this.#ports.get(index);
    link.ingressQdisc = this.#ingressQdiscs.get(index);
    const before = this.#byIndex.get(index);
    link.mtuRefused = refusalLeft(before, { mtu: link.mtu, carrier });
    if (!carrier) return link;
    const since = before?.carrierSince ?? (isDumped ? 0 : ++LinkState.#lastCarrier);
    return { ...link, carrierSince: since };
  }

  /** Takes over from an older state in which order the carriers came; one that it did not have has come last. */
  takeCarriers(older: LinkState): void {
    if (older.#byIndex.size === 0) return;
    for (const link of this.#byIndex.values()) {
      if (link.carrierSince === undefined) continue;
      const carrierSince = older.byIndex(link.index)?.carrierSince ?? ++LinkState.#lastCarrier;
      this.#put({ ...link, carrierSince });
    }
  }

  /** Notes that a device's driver refuses an MTU. */
  refuseMtu(index: number, mtu: number): void {
    const link = this.#byIndex.get(index);
    if (link) this.#put({ ...link, mtuRefused: { mtu, stands: true } });
  }

  /** Has the MTUs that were refused asked for again, of one device or of all. */
  askMtuAgain(index?: number): void {
    for (const link of index === undefined ? [...this.all()] : [this.#byIndex.get(index)]) {
      if (link?.mtuRefused) this.#put({ ...link, mtuRefused: { ...link.mtuRefused, stands: false } });
    }
  }

  /** Takes over from an older state the MTUs that were refused. */
  takeRefusals(older: LinkState): void {
    for (const { index, mtu, carrierSince } of [...this.all()]) {
      const mtuRefused = refusalLeft(older.byIndex(index), { mtu, carrier: carrierSince !== undefined });
      const link = this.#byIndex.get(index);
      if (link && mtuRefused) this.#put({ ...link, mtuRefused });
    }
  }

  #put(given: Link): News[] {
    const before = this.#byIndex.get(given.index);
    const formerName = before && (before.formerName ?? before.name);
    const link = formerName === undefined || formerName === given.name ? given : { ...given, formerName };
    // A bridge is announced for each port that joins or leaves, and nothing of it is other than before.
    if (isDeepStrictEqual(before, link)) return [];
    if (before) this.#forget(before);
    this.#byIndex.set(link.index, link);
    this.#byName.set(link.name, link);
    const vif = vifOfLink(link);
    if (vif) this.#byVif.add(vifName(vif), link.index);
    if (vif) this.#ofDomain.delete(link.index);
    else this.#ofDomain.set(link.index, link);
    for (const { address } of before?.addresses ?? []) this.#byAddress.delete(address, link.index);
    for (const { address } of link.addresses) this.#byAddress.add(address, link.index);
    return [
      ...(before && before.name !== link.name ? [netdev(before.name)] : []),
      netdev(link.name),
      ...this.#portChange(before, link),
    ];
  }

  /** The names of the bridges for which a port that is not a vif has changed. */
  #portChange(before: Link | undefined, after: Link | undefined): News[] {
    if (before?.master === after?.master && before?.mtu === after?.mtu) return [];
    const masters = [before, after].map((link) => link && !vifOfLink(link) && link.master);
    return masters.flatMap((index): News[] => {
      const bridge = index ? this.#byIndex.get(index) : undefined;
      return bridge ? [{ kind: 'ports-of', bridge: bridge.name }] : [];
    });
  }

  #applyPort(data: Buffer, there: boolean): News[] {
    const index = data.readInt32LE(4);
    const port = there ? decodePort({ data }) : undefined;
    // Most of these messages are about the spanning tree's timers, which are not used.
    if (isDeepStrictEqual(port, this.#ports.get(index))) return [];
    if (port) this.#ports.set(index, port);
    else this.#ports.delete(index);
    const link = this.#byIndex.get(index);
    const news = link ? this.#put({ ...link, port }) : [];
    // For a port that leaves, the device's own message about its master follows and is the one to report.
    return port ? news : [];
  }

  #applyQdisc(data: Buffer, there: boolean): News[] {
    const decoded = decodeIngressQdisc(data);
    if (decoded === undefined) return [];
    const { index, kind } = decoded;
    if (there) this.#ingressQdiscs.set(index, kind);
    else this.#ingressQdiscs.delete(index);
    const link = this.#byIndex.get(index);
    return link ? this.#put({ ...link, ingressQdisc: this.#ingressQdiscs.get(index) }) : [];
  }

  #remove(index: number): News[] {
    const link = this.#byIndex.get(index);
    if (!link) return [];
    this.#forget(link);
    this.#byIndex.delete(index);
    this.#ofDomain.delete(index);
    for (const { address } of link.addresses) this.#byAddress.delete(address, index);
    this.#addresses.delete(index);
    this.#ports.delete(index);
    this.#ingressQdiscs.delete(index);
    return [netdev(link.name), ...this.#portChange(link, undefined)];
  }

  /** Deletes the indexes that point at a link, unless they point at another one already. */
  #forget(link: Link): void {
    if (this.#byName.get(link.name) === link) this.#byName.delete(link.name);
    const vif = vifOfLink(link);
    if (vif) this.#byVif.delete(vifName(vif), link.index);
  }

  /** Notes that an address is gone: the kernel announces no deletion of one that it did not have. */
  deleteAddress(index: number, address: Network): void {
    const of = this.#addresses.get(index);
    if (of?.delete(formatNetwork(address))) this.#takeAddresses(index, of);
  }

  #applyAddress(data: Buffer, added: boolean): News[] {
    const decoded = decodeAddress(data);
    if (decoded === undefined) return [];
    const { index, network } = decoded;
    // The kernel adds link-local addresses itself when a device comes up; only the router's one is vifd's.
    if (data.readUInt8(3) === scopeLink && network.address !== routerLinkLocal) {
      const name = this.#byIndex.get(index)?.name;
      return name === undefined ? [] : [{ kind: 'ipv6-of', device: name }];
    }
    // Tentative and temporary addresses are ignored.
    const passing = network.family === 6 && (data.readUInt8(2) & passingFlags) !== 0;
    const of = this.#addresses.get(index) ?? new Map<string, Network>();
    this.#addresses.set(index, of);
    if (added && !passing) of.set(formatNetwork(network), network);
    else of.delete(formatNetwork(network));
    const link = this.#byIndex.get(index);
    return [
      ...this.#takeAddresses(index, of),
      { kind: 'address', address: network.address },
      ...(link === undefined || vifOfLink(link) ? [] : [{ kind: 'own-addresses' } as const]),
    ];
  }

  #takeAddresses(index: number, of: ReadonlyMap<string, Network>): News[] {
    const link = this.#byIndex.get(index);
    return link ? this.#put({ ...link, addresses: [...of.values()] }) : [];
  }
}

/**
 * What is left of a device's refusal of an MTU by what it is now: nothing when it has that MTU; and with a carrier that came
 * or went it does not stand, since netback's takes its limit from the frontend that connects.
 */
function refusalLeft(
  before: Link | undefined,
  now: { readonly mtu: number; readonly carrier: boolean },
): RefusedMtu | undefined {
  const refused = before?.mtuRefused;
  if (refused === undefined || refused.mtu === now.mtu) return undefined;
  const hadCarrier = before?.carrierSince !== undefined;
  return { mtu: refused.mtu, stands: refused.stands && hadCarrier === now.carrier };
}
