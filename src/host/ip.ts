import { join } from 'node:path';
import type { Logger } from 'pino';
import { runtimeDir } from '../observe/runtime-dir.js';
import { parseVifName, type VifId } from '../vif/id.js';
import type { IpState } from '../vif/ip.js';
import type { IpAction } from '../vif/plan-ip.js';
import { forgetConnections } from './conntrack.js';
import { Dnsmasq } from './dnsmasq.js';
import type { Links } from './links.js';
import type { NftTables } from './netfilter/tables.js';
import { readSysctl, writeSysctl } from './sysctl.js';

/** What routed and NAT vifs have on the host besides their links. */
export class IpHost {
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
  owned(): VifId[] {
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
