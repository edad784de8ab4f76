import { join } from 'node:path';
import type { Logger } from 'pino';
import type { IpAction } from '../model/action.js';
import type { IpState } from '../model/routing.js';
import { parseVifName, type VifId } from '../model/vif-id.js';
import { runtimeDir } from '../runtime/runtime-dir.js';
import { Dnsmasq } from './dhcp/dnsmasq.js';
import { forgetConnections } from './netfilter/conntrack.js';
import type { NftTables } from './netfilter/tables.js';
import type { Links } from './rtnetlink/links.js';
import { readSysctl, writeSysctl } from './sysctl.js';

/** What routed and NAT vifs have on the host besides their links. */
export class RoutingHost {
  readonly #links: Links;
  readonly #nft: NftTables;
  readonly #dnsmasq: Dnsmasq;

  /**
   * @param options.serves whether to run the DHCP server
   */
  constructor(
    links: Links,
    { nft, serves, log }: { nft: NftTables; serves: boolean; log?: Logger | undefined },
  ) {
    this.#links = links;
    this.#nft = nft;
    this.#dnsmasq = new Dnsmasq(join(runtimeDir(), 'dhcp'), log);
    if (serves) this.#dnsmasq.serve();
  }

  observe(): IpState {
    return {
      routes: this.#links.routes,
      sysctl: readSysctl,
      masquerades: this.#nft.view.masquerades,
      dhcp: this.#dnsmasq.entries,
    };
  }

  /** The vifs that something here is kept for, also without their links. */
  vifsWithState(): VifId[] {
    const proxied = this.#links.routes.proxies().flatMap(({ owner }) => owner ?? []);
    return [...proxied, ...this.#dnsmasq.entries.keys()].map(parseVifName).filter((id) => id !== undefined);
  }

  async perform(action: IpAction): Promise<void> {
    const { ip } = this.#links;
    switch (action.kind) {
      case 'add-address':
        return await ip.addAddress(action.index, action.address);
      case 'delete-address':
        return await this.#links.deleteAddress(action.index, action.address);
      case 'set-route':
        return await ip.setRoute(action.index, action.route);
      case 'delete-route':
        return await ip.deleteRoute(action.index, action.to);
      case 'set-neighbour':
        return await ip.setNeighbour(action.index, action.address, action.mac);
      case 'delete-neighbour':
        return await ip.setNeighbour(action.index, action.address, undefined);
      case 'set-proxy':
        return await ip.setProxy(action.index, action.address, action.owner);
      case 'delete-proxy':
        return await ip.deleteProxy(action.index, action.address);
      case 'set-sysctl':
        return writeSysctl(action.sysctl);
      case 'forget-connections':
        return await forgetConnections(action.network);
      case 'set-dhcp':
        return this.#dnsmasq.set(action.vif, action.entry);
      case 'delete-dhcp':
        return this.#dnsmasq.delete(action.vif);
    }
  }

  close(): void {
    this.#dnsmasq.close();
  }
}
