import { setTimeout as sleep } from 'node:timers/promises';
import type { Domnet } from '../support/net/domnet.js';
import { guest6Of, guestOf, routerLinkLocal, uplinkAddress, uplinkPeer, uplinkPeer6 } from './addresses.js';
import { ipBatch, setSysctls } from './batch.js';
import type { Model, NftFault, Step, VifModel } from './model.js';
import type { Networks } from './networks.js';
import { address6On, default6By } from './networks.js';
import { gatewayOf } from './settle.js';
import type { Snapshot } from './snapshot.js';
import type { WalkedDaemon } from './walked-daemon.js';

/** What an operator and other programs do by hand in a walk. */
export class Operator {
  readonly #domnet: Domnet;
  readonly #networks: Networks;
  readonly #daemon: WalkedDaemon;

  constructor(domnet: Domnet, networks: Networks, daemon: WalkedDaemon) {
    this.#domnet = domnet;
    this.#networks = networks;
    this.#daemon = daemon;
  }

  /** Takes something away and puts it back after a moment. */
  async blink(
    { what, ms }: Extract<Step, { do: 'blink' }>,
    { defaultRoute: uplink, defaultRoute6 }: Model,
  ): Promise<void> {
    const domnet = this.#domnet;
    if (what === 'bridge') {
      await domnet.ip('link delete xenbr0');
      await sleep(ms);
      return await this.#networks.makeBridge('xenbr0');
    }
    if (uplink === undefined) return;
    const back = `route add default via ${uplinkPeer[uplink]}`;
    const is6 = defaultRoute6 === uplink;
    const back6 = is6 ? [default6By(uplink)] : [];
    const address = `${uplinkAddress[uplink]}/24 dev ${uplink}`;
    const [off, on] = {
      default: [
        ['route delete default', ...(is6 ? [`route delete default via ${uplinkPeer6[uplink]}`] : [])],
        [back, ...back6],
      ],
      address: [[`address delete ${address}`], [`address add ${address}`, back]],
      link: [[`link set ${uplink} down`], [`link set ${uplink} up`, address6On(uplink), back, ...back6]],
    }[what] as [string[], string[]];
    await ipBatch(domnet.namespace, off);
    await sleep(ms);
    await ipBatch(domnet.namespace, on);
  }

  /** Changes the tables as another program does. @param snapshot what is there */
  async nft(fault: NftFault, { chains, tables }: Pick<Snapshot, 'chains' | 'tables'>): Promise<void> {
    const words = fault.split(' ');
    const table = `${words.at(-2)} ${words.at(-1)}`;
    const insert = (chain: string): string => `insert rule ${chain} counter accept comment "mine"`;
    if (fault.endsWith('of a vif')) {
      const chain = chains.find(
        ({ table: of, chain: name }) => of === 'netdev vifd' && name.startsWith('vif'),
      );
      const path = `${chain?.table} ${chain?.chain}`;
      if (chain !== undefined) await this.tryNft(words[0] === 'flush' ? `flush chain ${path}` : insert(path));
    } else if (fault.startsWith('dormant')) {
      // Adding it to what is not there would make a table.
      if (tables.some((one) => one.table === table))
        await this.tryNft(`add table ${table} { flags dormant; }`);
    } else if (fault.startsWith('foreign chain')) {
      await this.tryNft(`add chain ${table} mine; add rule ${table} mine counter`);
    } else {
      await this.tryNft(fault.startsWith('foreign rule') ? insert(words.slice(2).join(' ')) : fault);
    }
  }

  /** What is not there cannot be changed, and what is vifd's alone may not. */
  async tryNft(commands: string): Promise<void> {
    await this.#domnet.exec('nft', [commands]).catch((error: Error) => {
      if (!/No such file|not permitted|Operation not supported|syntax/.test(error.message)) throw error;
    });
  }

  /** Takes away something of a vif's. */
  async take({ fault }: Extract<Step, { do: 'hand' }>, vif: VifModel, model: Model): Promise<void> {
    const domnet = this.#domnet;
    const { address, router } = guestOf(vif);
    const { name } = vif;
    const gateway = gatewayOf(vif, model);
    switch (fault) {
      case 'route':
        await domnet.ip(`route delete ${address}/32 dev ${name}`);
        return;
      case 'address':
        await domnet.ip(`address delete ${router}/32 dev ${name}`);
        return;
      case 'route6':
        await domnet.ip(`route delete ${guest6Of(vif)}/128 dev ${name}`);
        return;
      case 'address6':
        await domnet.ip(`address delete ${routerLinkLocal}/64 dev ${name}`);
        return;
      case 'all addresses':
        await domnet.ip(`address flush dev ${name}`);
        return;
      case 'forwarding':
      case 'proxy_arp':
        return await setSysctls(domnet.namespace, { [`net/ipv4/conf/${name}/${fault}`]: '0' });
      // Of the whole machine: IPv6 has no such switch for a device.
      case 'forwarding6':
        return await setSysctls(domnet.namespace, { 'net/ipv6/conf/all/forwarding': '0' });
      case 'neighbour':
        await domnet.ip(`neighbour delete ${address} dev ${name}`);
        return;
      // The kernel does not announce these: what is not repaired soon is put back.
      case 'proxy':
        return await this.#unannounced(
          `neighbour delete proxy ${address} dev ${gateway}`,
          // With vifd's protocol number: one without would be the operator's own, which stays where the gateway moves.
          `neighbour add proxy ${address} dev ${gateway} protocol 120`,
        );
    }
  }

  async #unannounced(off: string, on: string): Promise<void> {
    await this.#domnet.ip(off);
    this.#daemon.hangUp();
    await sleep(50);
    await this.#domnet.ip(on).catch(() => undefined);
  }
}
