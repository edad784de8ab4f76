import type { News } from '../../model/dependency.js';
import type { LinkView, Traffic } from '../../model/observed.js';
import { ourProtocol, type RouteView } from '../../model/route.js';
import { NetlinkConnection, NetlinkError } from '../netlink/connection.js';
import { afterPause, isDisturbed } from '../netlink/disturbed.js';
import { Flags, type NetlinkMessage } from '../netlink/format.js';
import { Addresses } from './address.js';
import { BridgePorts } from './bridge-port.js';
import { portDump } from './bridge-port-message.js';
import { DisabledPorts } from './disabled-ports.js';
import { LinkSettings } from './link.js';
import { family, rtm } from './link-message.js';
import { LinkState } from './link-state.js';
import { decodeStats, rtmStats, statsRequest } from './link-stats.js';
import { Losses } from './losses.js';
import { Neighbours } from './neighbour.js';
import { ntfProxy, rtmNeigh } from './neighbour-state.js';
import { Proxies } from './proxy.js';
import { Routes } from './route.js';
import { rtmRoute } from './route-message.js';
import { RouteState } from './route-state.js';
import { rtmRule } from './rule-message.js';

/** Called with what came, changed or went: devices, the default route, or anything. */
export type LinkListener = (news: readonly News[]) => void;

/**
 * Called with the index of a device that went, also to another network namespace, before {@link LinkListener} is;
 * undefined means that any may have.
 */
export type GoneListener = (index: number | undefined) => void;

/**
 * RTNLGRP_LINK; _TC; _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE; _IPV6_IFADDR, _IPV6_ROUTE, _IPV6_RULE; _IPV4_NETCONF, _IPV6_NETCONF. Of RTNLGRP_NEIGH
 * entries of ours only: the bridge announces each new MAC address there, so a guest that keeps changing its own could load the daemon.
 */
const groups = [1, 4, 5, 7, 8, 9, 11, 19, 24, 25];

/**
 * All network devices and their addresses, kept current by rtnetlink in memory. The effect of a request is in the view
 * when the kernel has acknowledged it.
 */
export class Links {
  readonly #netlink: NetlinkConnection;
  readonly #listener: LinkListener;
  readonly #gone: GoneListener;
  /** Changes of devices, addresses, routes and neighbour entries, through the same socket. */
  readonly link: LinkSettings;
  readonly port: BridgePorts;
  readonly address: Addresses;
  readonly route: Routes;
  readonly neighbour: Neighbours;
  readonly proxy: Proxies;
  #current = new LinkState();
  readonly #losses = new Losses();
  readonly #disabled = new DisabledPorts((message) => this.#takeIn(message));
  #currentRoutes = new RouteState(this.#current, this.#losses);
  /** Filled by the dump that is under way; readers keep seeing the old state until it is complete. */
  #next: { links: LinkState; routes: RouteState } | undefined;
  /** The counters of devices that were asked for last, by index, until they are fetched. */
  readonly #counted = new Map<number, Traffic | undefined>();
  #stale = false;
  #syncing: Promise<void> | undefined;

  private constructor(listener: LinkListener, gone: GoneListener, failed: (error: Error) => void) {
    this.#listener = listener;
    this.#gone = gone;
    const overflow = (): Promise<void> => {
      this.#gone(undefined);
      return this.#sync();
    };
    this.#netlink = new NetlinkConnection(
      groups,
      { message: (message) => this.#apply(message), overflow, failed },
      { neighbours: ourProtocol },
    );
    const states = () => (this.#next === undefined ? [this.#current] : [this.#current, this.#next.links]);
    const routes = () =>
      this.#next === undefined ? [this.#currentRoutes] : [this.#currentRoutes, this.#next.routes];
    this.link = new LinkSettings(this.#netlink, () => this.#current);
    this.port = new BridgePorts(this.#netlink);
    this.address = new Addresses(this.#netlink, states);
    this.route = new Routes(this.#netlink, routes, this.#losses);
    this.neighbour = new Neighbours(this.#netlink, routes, this.#losses);
    this.proxy = new Proxies(this.#netlink, routes, this.#losses, ({ address }) =>
      listener([{ kind: 'address', address }]),
    );
  }

  /**
   * Opens the socket and reads everything once.
   * @param failed told why something could not be read later on; it is tried again
   */
  static async open(
    listener: LinkListener,
    gone: GoneListener = () => undefined,
    failed: (error: Error) => void = () => undefined,
  ): Promise<Links> {
    const links = new Links(listener, gone, failed);
    try {
      await links.#sync();
    } catch (error) {
      links.close();
      throw error;
    }
    return links;
  }

  /** The devices as they are now; to be read again after each await. */
  get view(): LinkView {
    return this.#current;
  }

  /** The routes as they are now. */
  get routes(): RouteView {
    return this.#currentRoutes;
  }

  /**
   * Resolves when the view has every change that was under way in the kernel. A netdev that is unregistered loses its
   * sysctls and addresses first and is announced as gone last, all under RTNL, which this request waits for.
   */
  async whenQuiet(): Promise<void> {
    const loopback = Buffer.alloc(16);
    loopback.writeInt32LE(1, 4);
    await this.#netlink.request(rtm.getLink, 0, loopback);
  }

  /** What one device has counted; undefined for one that is gone. */
  async traffic(index: number): Promise<Traffic | undefined> {
    try {
      await this.#netlink.request(rtmStats.get, 0, statsRequest(index));
      return this.#counted.get(index);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENODEV') return undefined;
      throw error;
    } finally {
      this.#counted.delete(index);
    }
  }

  /** Has an MTU that was refused asked for again, of one device or of all. */
  askMtuAgain(index?: number): void {
    this.#current.askMtuAgain(index);
  }

  /**
   * Reads neighbour and proxy entries again, whose changes by other programs are not received, and reports that anything
   * may have changed.
   */
  refresh(): Promise<void> {
    this.askMtuAgain();
    this.#syncing ??= this.#readNeighbours()
      .then(() => this.#readAll())
      .finally(() => {
        this.#syncing = undefined;
      });
    return this.#syncing;
  }

  close(): void {
    this.#disabled.close();
    this.#netlink.close();
  }

  #apply(message: NetlinkMessage): void {
    if (message.type === rtmStats.new) {
      const { index, traffic } = decodeStats(message.data);
      this.#counted.set(index, traffic);
      return;
    }
    if (this.link.isPassing(message)) return;
    this.#takeIn(message.flags & Flags.MULTI ? message : this.#disabled.now(message));
  }

  #takeIn(message: NetlinkMessage): void {
    this.#next?.links.apply(message);
    this.#next?.routes.apply(message);
    if (message.flags & Flags.MULTI) return;
    // RTM_DELLINK of family AF_BRIDGE is a port that leaves its bridge.
    if (message.type === rtm.delLink && message.data.readUInt8(0) === family.unspec)
      this.#gone(message.data.readInt32LE(4));
    // The routes first: they need the name of a device that goes.
    const news = [...this.#currentRoutes.apply(message), ...this.#current.apply(message)];
    if (news.length > 0) this.#listener(news);
  }

  /** Reads everything again; a call while that is under way makes it start again. */
  #sync(): Promise<void> {
    this.#stale = true;
    this.#syncing ??= this.#readAll().finally(() => {
      this.#syncing = undefined;
    });
    return this.#syncing;
  }

  async #readAll(): Promise<void> {
    while (this.#stale) {
      this.#stale = false;
      const links = new LinkState();
      this.#next = { links, routes: new RouteState(links, this.#losses) };
      try {
        await this.#netlink.dump(rtm.getLink, Buffer.alloc(16));
        await this.#netlink.dump(rtm.getLink, portDump());
        await this.#dumpIfKnown(rtm.getQdisc, Buffer.alloc(20));
        await this.#netlink.dump(rtm.getAddr, Buffer.alloc(8));
        await this.#dumpIfKnown(rtmRule.get, Buffer.alloc(12));
        await this.#netlink.dump(rtmRoute.get, Buffer.alloc(12));
        await this.#dumpNeighbours();
        this.#next.routes.takeOwners(this.#currentRoutes);
        links.takeCarriers(this.#current);
        links.takeRefusals(this.#current);
        this.#current = links;
        this.#currentRoutes = this.#next.routes;
      } catch (error) {
        if (!isDisturbed(error)) throw error;
        this.#stale = true;
        await afterPause(error);
      } finally {
        this.#next = undefined;
      }
    }
    this.#listener([{ kind: 'anything' }]);
  }

  /** Dumps what a kernel may be built without: CONFIG_NET_SCHED, CONFIG_IP_MULTIPLE_TABLES. */
  async #dumpIfKnown(type: number, request: Buffer): Promise<void> {
    await this.#netlink.dump(type, request).catch((error: unknown) => {
      if (!(error instanceof NetlinkError && error.code === 'EOPNOTSUPP')) throw error;
    });
  }

  async #readNeighbours(): Promise<void> {
    const routes = new RouteState(this.#current, this.#losses);
    this.#next = { links: new LinkState(), routes };
    try {
      await this.#dumpNeighbours();
      this.#currentRoutes.takeNeighbours(routes);
    } catch (error) {
      // A disturbed dump is repeated with the next refresh, or with everything else after an overflow.
      if (!isDisturbed(error)) throw error;
    } finally {
      this.#next = undefined;
    }
  }

  async #dumpNeighbours(): Promise<void> {
    await this.#netlink.dump(rtmNeigh.get, Buffer.alloc(12));
    const proxies = Buffer.alloc(12);
    proxies.writeUInt8(ntfProxy, 10);
    await this.#netlink.dump(rtmNeigh.get, proxies);
  }
}
