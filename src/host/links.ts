import { AttrStream, Flags, type NetlinkMessage, putString, putU32 } from 'netlink';
import { type Network, parseIpv4, parseIpv6 } from '../vif/address.js';
import type { LinkView } from '../vif/observed.js';
import type { LinkChanges } from '../vif/plan.js';
import type { PortFlags } from '../vif/port.js';
import type { PortVlan } from '../vif/vlan.js';
import { encodeFlags, encodeVlans, portDump, portHeader } from './bridge-port.js';
import { family, ifa, iffUp, ifla, LinkState, rtm } from './link-state.js';
import { RouteNetlink } from './netlink.js';

/** Told the names of the devices that came, changed or went; `*` means that any may have. */
export type LinkListener = (names: readonly string[]) => void;

/** RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR. */
const groups = [1, 5, 9];

/**
 * All network devices and their addresses, kept current by rtnetlink: looking at the host costs nothing, and what a
 * change of ours did is in the table when the change has been acknowledged.
 */
export class Links {
  readonly #netlink: RouteNetlink;
  readonly #listener: LinkListener;
  #current = new LinkState();
  /** Filled by the dump that is under way; readers keep seeing the old state until it is complete. */
  #next: LinkState | undefined;
  #stale = false;
  #syncing: Promise<void> | undefined;

  private constructor(listener: LinkListener) {
    this.#listener = listener;
    this.#netlink = new RouteNetlink(groups, {
      message: (message) => this.#apply(message),
      overflow: () => void this.#sync(),
    });
  }

  /** Opens the socket and reads everything once. */
  static async open(listener: LinkListener): Promise<Links> {
    const links = new Links(listener);
    await links.#sync();
    return links;
  }

  /** The devices as they are now. Look again after an await. */
  get view(): LinkView {
    return this.#current;
  }

  /** One RTM_SETLINK carrying all changes. @throws NetlinkError */
  async setLink(index: number, changes: LinkChanges): Promise<void> {
    const { name, alias, mac, mtu, txqueuelen, master, up } = changes;
    const header = Buffer.alloc(16);
    header.writeInt32LE(index, 4);
    if (up !== undefined) {
      header.writeUInt32LE(up ? iffUp : 0, 8);
      header.writeUInt32LE(iffUp, 12);
    }
    const attributes = new AttrStream();
    if (mac !== undefined) attributes.push(ifla.address, Buffer.from(mac.replaceAll(':', ''), 'hex'));
    if (mtu !== undefined) attributes.push(ifla.mtu, putU32(mtu));
    if (txqueuelen !== undefined) attributes.push(ifla.txqueuelen, putU32(txqueuelen));
    if (name !== undefined) attributes.push(ifla.ifname, putString(name));
    if (alias !== undefined) attributes.push(ifla.ifalias, putString(alias));
    if (master !== undefined) attributes.push(ifla.master, putU32(master.index));
    await this.#netlink.request(rtm.setLink, 0, header, attributes);
  }

  /** @throws NetlinkError */
  async deleteAddress(index: number, address: Network): Promise<void> {
    const header = Buffer.alloc(8);
    header.writeUInt8(address.family === 4 ? family.inet : family.inet6, 0);
    header.writeUInt8(address.prefix, 1);
    header.writeUInt32LE(index, 4);
    const attributes = new AttrStream();
    attributes.push(ifa.local, addressBytes(address));
    await this.#netlink.request(rtm.delAddr, 0, header, attributes);
  }

  /** Sets flags of a bridge port. @throws NetlinkError */
  async setPort(index: number, flags: PortFlags): Promise<void> {
    await this.#netlink.request(rtm.setLink, 0, Buffer.concat([portHeader(index), encodeFlags(flags)]));
  }

  /** Adds VLANs to a bridge port, or changes what they are on it. @throws NetlinkError */
  async addVlans(index: number, vlans: readonly PortVlan[]): Promise<void> {
    await this.#netlink.request(rtm.setLink, 0, Buffer.concat([portHeader(index), encodeVlans(vlans)]));
  }

  /** @throws NetlinkError */
  async deleteVlans(index: number, vlans: readonly PortVlan[]): Promise<void> {
    // Only the numbers count here, and a range of them must be one of equal flags.
    const numbers = vlans.map(({ vid }) => ({ vid, pvid: false, untagged: false }));
    await this.#netlink.request(rtm.delLink, 0, Buffer.concat([portHeader(index), encodeVlans(numbers)]));
  }

  close(): void {
    this.#netlink.close();
  }

  #apply(message: NetlinkMessage): void {
    this.#next?.apply(message);
    if (message.flags & Flags.MULTI) return;
    const names = this.#current.apply(message);
    if (names.length > 0) this.#listener(names);
  }

  /** Reads everything again; a call while that is under way makes it start over. */
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
      this.#next = new LinkState();
      try {
        await this.#netlink.dump(rtm.getLink, Buffer.alloc(16));
        await this.#netlink.dump(rtm.getLink, portDump());
        await this.#netlink.dump(rtm.getAddr, Buffer.alloc(8));
        this.#current = this.#next;
      } catch (error) {
        // The table changed under the dump, or there was more news than the socket holds: begin again.
        const code = (error as NodeJS.ErrnoException).code;
        if (code !== 'EINTR' && code !== 'ENOBUFS') throw error;
        this.#stale = true;
      } finally {
        this.#next = undefined;
      }
    }
    this.#listener(['*']);
  }
}

/** An address in network byte order. */
function addressBytes({ family: version, address }: Network): Buffer {
  const value = version === 4 ? parseIpv4(address) : parseIpv6(address);
  return Buffer.from((value ?? 0n).toString(16).padStart(version === 4 ? 8 : 32, '0'), 'hex');
}
