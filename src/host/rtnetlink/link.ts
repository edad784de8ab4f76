import type { LinkChanges } from '../../model/action.js';
import { passingMtu } from '../../model/bridge-port.js';
import { ChangedMeanwhile } from '../../model/operation-error.js';
import { eachAttribute } from '../netlink/attributes.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { AttrStream, type NetlinkMessage, putString, putU32 } from '../netlink/format.js';
import { family, iffNoarp, iffUp, ifla, rtm } from './link-message.js';
import type { LinkState } from './link-state.js';

/** Changes of devices: names, addresses, MTUs, masters, up and down. */
export class LinkSettings {
  readonly #netlink: NetlinkConnection;
  readonly #current: () => LinkState;
  /** The MTU that a device has for a moment, by its index. */
  readonly #passing = new Map<number, number>();
  readonly #pinning = new Map<number, Promise<void>>();

  /** @param current where a refused MTU is noted */
  constructor(netlink: NetlinkConnection, current: () => LinkState) {
    this.#netlink = netlink;
    this.#current = current;
  }

  /**
   * Changes a link as planned. An MTU that its driver refuses is noted in the view.
   * @throws ChangedMeanwhile when it was refused; NetlinkError
   */
  async change(index: number, name: string, changes: LinkChanges): Promise<void> {
    try {
      await this.#set(index, changes);
    } catch (error) {
      // The kernel has brought it up before it refused the master (do_setlink in net/core/rtnetlink.c): up on no bridge, a guest would
      // speak with this machine.
      if (changes.up === true && changes.master !== undefined)
        await this.#set(index, { up: false }).catch(() => undefined);
      const { mtu } = changes;
      if (mtu === undefined || !(await this.#refuses(index, changes, mtu, error))) throw error;
      this.#current().refuseMtu(index, mtu);
      throw new ChangedMeanwhile(`the MTU that ${name} takes`);
    }
  }

  /**
   * Sets the MTU of a bridge to what it is, by hand. Nothing is told of the one that it has for a moment: a vif that joins just
   * then would take it for its own. Vifs that join at once share it, since the end of one would show that of another.
   * @throws NetlinkError
   */
  pinMtu(index: number, mtu: number): Promise<void> {
    const pin = this.#pinning.get(index) ?? this.#pin(index, mtu).finally(() => this.#pinning.delete(index));
    this.#pinning.set(index, pin);
    return pin;
  }

  async #pin(index: number, mtu: number): Promise<void> {
    const passing = passingMtu(mtu);
    this.#passing.set(index, passing);
    try {
      await this.#set(index, { mtu: passing });
      await this.#set(index, { mtu });
    } finally {
      this.#passing.delete(index);
    }
  }

  /** Whether a message is about a device with an MTU that it has for a moment only. */
  isPassing({ type, data }: NetlinkMessage): boolean {
    if (type !== rtm.newLink || data.readUInt8(0) !== family.unspec) return false;
    const passing = this.#passing.get(data.readInt32LE(4));
    let mtu: number | undefined;
    if (passing !== undefined)
      eachAttribute(data, 16, (type, at) => {
        if (type === ifla.mtu) mtu = data.readUInt32LE(at);
      });
    return passing !== undefined && mtu === passing;
  }

  /** Whether it is the MTU that a change failed for; among others that may be invalid it is asked for alone. */
  async #refuses(index: number, changes: LinkChanges, mtu: number, error: unknown): Promise<boolean> {
    const isInvalid = (one: unknown): boolean => (one as NodeJS.ErrnoException).code === 'EINVAL';
    if (!isInvalid(error)) return false;
    if (Object.keys(changes).length === 1) return true;
    return await this.#set(index, { mtu }).then(() => false, isInvalid);
  }

  /** Changes a link by one RTM_SETLINK. @throws NetlinkError */
  async #set(index: number, changes: LinkChanges): Promise<void> {
    const { name, alias, mac, mtu, txqueuelen, group, master, arp, up } = changes;
    const header = Buffer.alloc(16);
    header.writeInt32LE(index, 4);
    header.writeUInt32LE(up === true ? iffUp : 0, 8);
    header.writeUInt32LE((up === undefined ? 0 : iffUp) | (arp ? iffNoarp : 0), 12);
    const attributes = new AttrStream();
    if (mac !== undefined) attributes.push(ifla.address, Buffer.from(mac.replaceAll(':', ''), 'hex'));
    if (mtu !== undefined) attributes.push(ifla.mtu, putU32(mtu));
    if (txqueuelen !== undefined) attributes.push(ifla.txqueuelen, putU32(txqueuelen));
    if (group !== undefined) attributes.push(ifla.group, putU32(group));
    if (name !== undefined) attributes.push(ifla.ifname, putString(name));
    if (alias !== undefined) attributes.push(ifla.ifalias, putString(alias));
    if (master !== undefined) attributes.push(ifla.master, putU32(master.index));
    await this.#netlink.request(rtm.setLink, 0, header, attributes);
  }
}
