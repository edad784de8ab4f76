import type { PortSwitches } from '../../model/bridge-port.js';
import type { PortVlan } from '../../model/vlan.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { encodeFlags, encodeVlans, portHeader } from './bridge-port-message.js';
import { rtm } from './link-message.js';

/** Changes of the bridge ports that devices are. */
export class BridgePorts {
  readonly #netlink: NetlinkConnection;

  constructor(netlink: NetlinkConnection) {
    this.#netlink = netlink;
  }

  /** Sets flags of a bridge port. @throws NetlinkError */
  async set(index: number, flags: PortSwitches): Promise<void> {
    await this.#netlink.request(rtm.setLink, 0, Buffer.concat([portHeader(index), encodeFlags(flags)]));
  }

  /** Adds VLANs to a bridge port, or changes their flags. @throws NetlinkError */
  async addVlans(index: number, vlans: readonly PortVlan[]): Promise<void> {
    await this.#netlink.request(rtm.setLink, 0, Buffer.concat([portHeader(index), encodeVlans(vlans)]));
  }

  /** @throws NetlinkError */
  async deleteVlans(index: number, vlans: readonly PortVlan[]): Promise<void> {
    // The kernel uses only the numbers here, and wants equal flags within a range.
    const numbers = vlans.map(({ vid }) => ({ vid, pvid: false, untagged: false }));
    await this.#netlink.remove(rtm.delLink, Buffer.concat([portHeader(index), encodeVlans(numbers)]));
  }
}
