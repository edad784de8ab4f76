import { type Domnet, Vif } from '../support/net/domnet.js';
import { until } from '../support/process/exec.js';
import {
  guest6Of,
  guestOf,
  has4,
  idOf,
  linkLocalOf,
  macOf,
  nameOf,
  routerLinkLocal,
  spoofed,
} from './addresses.js';
import { impatient, impatient6, ipBatch, settled } from './batch.js';
import { Broken } from './broken.js';
import { isRouted, type Keys, type Model, type Topology, type VifModel } from './model.js';
import type { StoreStatus } from './statuses.js';

/** A guest's configuration of IPv6, as lines of ip's batch. */
function guest6Lines(vif: VifModel): string[] {
  const address = guest6Of(vif);
  if (address === undefined) return [];
  return [
    `address add ${linkLocalOf(macOf(vif.slot, vif.keys.othermac))}/64 dev eth0 nodad`,
    `address add ${address}/${isRouted(vif) ? 128 : 64} dev eth0 nodad`,
    ...(isRouted(vif) ? [`route replace default via ${routerLinkLocal} dev eth0`] : []),
  ];
}

/** How the guest of a vif is configured, as lines of ip's batch, when `eth0` is up and has no address. */
export function guestLines(vif: VifModel): string[] {
  const { address, prefix, router } = guestOf(vif);
  return [
    ...(has4(vif)
      ? [
          `address add ${address}/${prefix} dev eth0`,
          ...(vif.topology === 'bridge' ? [`address add ${spoofed(vif.slot)}/16 dev eth0`] : []),
          ...(vif.topology === 'route' ? [`route add ${router} dev eth0`] : []),
          ...(isRouted(vif) ? [`route add default via ${router}`] : []),
        ]
      : []),
    ...guest6Lines(vif),
  ];
}

/** The keys of a vif in xenstore that a schedule sets; undefined for those that are not to be there. */
export const storedKeys = (
  slot: number,
  topology: Topology,
  keys: Keys,
): Record<string, string | undefined> => ({
  script: `/etc/xen/scripts/vif-${topology}`,
  bridge: keys.bridge,
  ip: [keys.ip, keys.ip6].filter((address) => address !== undefined).join(' ') || undefined,
  gatewaydev: keys.gatewaydev,
  vlan: keys.vlan,
  mtu: keys.mtu === undefined ? undefined : `${keys.mtu}`,
  vifname: keys.vifname,
  mac: macOf(slot, keys.othermac),
});

/** What libxl, netback and the guests do in a walk. */
export class Dom0 {
  readonly #domnet: Domnet;
  /** How the guests are configured now, as batches of ip. */
  readonly #configured = new Map<number, string>();

  constructor(domnet: Domnet) {
    this.#domnet = domnet;
  }

  async come(slot: number, topology: Topology, keys: Keys): Promise<void> {
    const vif = await this.#domnet.writeDevice({ ...idOf(slot), keys: storedKeys(slot, topology, keys) });
    await this.makeNetdev(slot, keys);
    await vif.setState(2);
  }

  async makeNetdev(slot: number, keys: Keys): Promise<void> {
    this.#configured.delete(slot);
    const guest = await this.#domnet.guestNamespace(slot);
    await ipBatch(this.#domnet.namespace, [
      `link add ${nameOf(slot)} address fe:ff:ff:ff:ff:ff type veth peer name eth0 address ${macOf(slot, keys.othermac)} netns ${guest}`,
    ]);
  }

  /** Death as dom0 asks for it: netback closes and unregisters, the agent deletes the directory, dom0 the rest. */
  async go(slot: number, netdevs: readonly string[]): Promise<void> {
    const vif = this.vif(slot);
    await vif.write({ online: '0', state: '5' });
    await vif.setState(6);
    await this.#unregister(netdevs);
    await until('the deletion', async () => !(await vif.exists()), 1500).catch(() => {
      throw new Broken('deletion', [`${vif.backend} is not deleted after 1.5 s`]);
    });
    await this.#forget(vif);
  }

  async force(slot: number, netdevs: readonly string[], first: 'directory' | 'netdev'): Promise<void> {
    const vif = this.vif(slot);
    if (first === 'netdev') await this.#unregister(netdevs);
    await this.#domnet.xenstore.rm(vif.backend);
    if (first === 'directory') await this.#unregister(netdevs);
    await this.#forget(vif);
  }

  /** netback's netdev goes, whatever it is called by then. */
  async #unregister(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (await this.#domnet.ip(`link delete ${name}`).then(...settled)) return;
    }
  }

  /** What dom0 deletes when the device is gone. */
  async #forget(vif: Vif): Promise<void> {
    const { xenstore } = this.#domnet;
    const frontends = `/local/domain/${vif.domid}`;
    await xenstore.rm(vif.frontend);
    for (const path of [
      ...['/device/vif', '/device', ''].map((part) => `${frontends}${part}`),
      ...[`backend/vif/${vif.domid}`, 'backend/vif', 'backend'],
    ]) {
      if ((await xenstore.directory(path).catch(() => ['?'])).length > 0) continue;
      await xenstore.rm(path);
    }
  }

  /** dom0 writes keys anew, those that differ, in one transaction. */
  async change(
    vif: Vif,
    before: Readonly<Record<string, string | undefined>>,
    next: Readonly<Record<string, string | undefined>>,
  ): Promise<void> {
    const operations = Object.keys(next)
      .filter((key) => before[key] !== next[key])
      .map((key) => {
        const path = `${vif.backend}/${key}`;
        const value = next[key];
        return value === undefined ? ({ op: 'rm', path } as const) : ({ op: 'write', path, value } as const);
      });
    await this.#domnet.xenstore.commit(operations);
  }

  async guestMac(slot: number, other: boolean): Promise<void> {
    const guest = await this.#domnet.guestNamespace(slot);
    await ipBatch(guest, [`link set eth0 address ${macOf(slot, other)}`]);
  }

  /** The guests that are there have the addresses they should, and their routes. */
  async configureGuests(model: Model): Promise<void> {
    for (const vif of model.vifs) {
      if (!vif.present) {
        this.#configured.delete(vif.slot);
        continue;
      }
      const lines = guestLines(vif);
      const text = lines.join('\n');
      const now = this.#configured.get(vif.slot);
      if (now === text) continue;
      const begin =
        now === undefined
          ? ['link set eth0 up', impatient('eth0'), impatient6('eth0')]
          : ['address flush dev eth0'];
      await ipBatch(await this.#domnet.guestNamespace(vif.slot), [...begin, ...lines]);
      this.#configured.set(vif.slot, text);
    }
  }

  vif(slot: number): Vif {
    const { domid, devid } = idOf(slot);
    return new Vif(this.#domnet, domid, devid);
  }

  async stored(slot: number): Promise<StoreStatus | undefined> {
    const vif = this.vif(slot);
    const [exists, status, error] = await Promise.all([
      vif.exists(),
      vif.read('hotplug-status'),
      vif.read('hotplug-error'),
    ]);
    return exists ? { status, error } : undefined;
  }
}
