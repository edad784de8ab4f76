/** The topologies a vif can have, by the end of its script's name. */
export const topologies = ['bridge', 'openvswitch', 'route', 'nat'] as const;
export type Topology = (typeof topologies)[number];

export const bridges = ['xenbr0', 'xenbr1'] as const;
export type Bridge = (typeof bridges)[number];
export const uplinks = ['up0', 'up1'] as const;
export type Uplink = (typeof uplinks)[number];

/** The keys of a backend directory that a schedule sets; one that is absent is not written, or is removed. */
export interface Keys {
  readonly bridge?: string;
  readonly ip?: string;
  readonly mtu?: number;
  readonly vifname?: string;
  readonly gatewaydev?: Uplink;
  /** Another MAC address than the one that follows from the domid. */
  readonly othermac?: boolean;
}

/** What the transactions of others do to our nftables. */
export const nftFaults = [
  'flush ruleset',
  ...[
    'flush table netdev vifd',
    'flush table inet vifd',
    'delete table netdev vifd',
    'delete table inet vifd',
  ],
  ...['dormant netdev vifd', 'dormant inet vifd'],
  ...['foreign chain netdev vifd', 'foreign chain inet vifd'],
  ...['flush chain netdev vifd from_ip', 'flush chain inet vifd leaving', 'flush chain of a vif'],
  ...['flush set netdev vifd macs', 'flush set netdev vifd hosts4', 'flush set inet vifd routed'],
  ...['flush set inet vifd masqueraded4', 'flush set inet vifd confined', 'flush set netdev vifd drops'],
  ...['foreign rule inet vifd to_this_machine', 'foreign rule inet vifd leaving'],
  ...['foreign rule netdev vifd guest', 'foreign rule of a vif'],
] as const;
export type NftFault = (typeof nftFaults)[number];

/** What is taken by hand from a routed or NAT vif; the kernel announces the first three to everybody. */
export const handFaults = [
  'route',
  'address',
  'all addresses',
  'neighbour',
  'proxy',
  'forwarding',
  'proxy_arp',
] as const;
export type HandFault = (typeof handFaults)[number];

/** One thing that dom0, netback, a guest, the operator or the network does. */
export type Step =
  | { readonly do: 'come' | 'reuse' | 'script'; vif: number; topology: Topology; keys: Keys }
  | { readonly do: 'go' | 'reconnect' | 'replace' | 'down' | 'hijack' | 'free-name'; vif: number }
  | { readonly do: 'force'; vif: number; first: 'directory' | 'netdev' }
  | { readonly do: 'rush'; vif: number; topology: Topology; keys: Keys; by: 'go' | 'force'; after: number }
  | { readonly do: 'rewrite'; vif: number; keys: { readonly [K in keyof Keys]: Keys[K] | null } }
  | { readonly do: 'same-address' | 'same-name'; vif: number; of: number }
  | { readonly do: 'apart'; vif: number }
  | { readonly do: 'take-name'; vif: number }
  | { readonly do: 'rename'; vif: number; down: boolean }
  | { readonly do: 'bridge'; bridge: Bridge; there: boolean }
  | { readonly do: 'uplink'; uplink: Uplink; become: 'gone' | 'there' | 'down' | 'up' }
  | { readonly do: 'address'; uplink: Uplink; there: boolean }
  | { readonly do: 'default'; uplink: Uplink | null }
  | { readonly do: 'blink'; what: 'default' | 'address' | 'link' | 'bridge'; ms: number }
  | { readonly do: 'nft'; fault: NftFault }
  | { readonly do: 'hand'; vif: number; fault: HandFault }
  | { readonly do: 'dnsmasq' | 'quiet' }
  | { readonly do: 'ovsdb' | 'vswitchd'; run: boolean }
  | { readonly do: 'vifd'; how: 'stop' | 'kill' | 'start' | 'reload' | 'restart' | 'crash' }
  | { readonly do: 'xenstored'; run: boolean };
export type StepKind = Step['do'];

/** What `hotplug-status` is to read; `pending` is anything but connected. */
export type Status = 'connected' | 'error' | 'pending';

/** One place for a vif: what is in it, if anything. */
export interface VifModel {
  readonly domid: number;
  readonly present: boolean;
  readonly topology: Topology;
  readonly keys: Keys;
  /** Grows with each netdev that is made, as the kernel's numbers do. */
  readonly netdev: number;
  /** The netdev's name now. */
  readonly name: string;
  /** What the daemon has told, when it last could. */
  readonly status: Status;
  /** Whose address and proxies a routed vif has. */
  readonly gateway: Uplink | undefined;
  /** The gateway may also be another: it is gone, and may have been moved before, while the daemon could not be asked. */
  readonly unsure: boolean;
  /** Something was done to it while no daemon could answer. */
  readonly uncertain: boolean;
}

export interface UplinkModel {
  readonly there: boolean;
  readonly up: boolean;
  readonly address: boolean;
}

/** The driver domain and its surroundings as they should be. */
export interface Model {
  readonly vifs: readonly VifModel[];
  readonly bridges: Readonly<Record<Bridge, boolean>>;
  readonly uplinks: Readonly<Record<Uplink, UplinkModel>>;
  readonly defaultRoute: Uplink | undefined;
  readonly vifd: boolean;
  readonly xenstored: boolean;
  readonly ovsdb: boolean;
  readonly vswitchd: boolean;
  /** ovs-vswitchd has read its database since it was started, and forwards. */
  readonly switching: boolean;
  /** Names that devices of others have, each with the vif that should have it. */
  readonly foreign: Readonly<Record<string, number>>;
  readonly netdevs: number;
}

export const firstDomid = 10;

export function begin(vifs: number): Model {
  const uplink = { there: true, up: true, address: true };
  return {
    vifs: Array.from({ length: vifs }, (_, i) => absent(firstDomid + i)),
    bridges: { xenbr0: true, xenbr1: true },
    uplinks: { up0: uplink, up1: uplink },
    defaultRoute: 'up0',
    vifd: true,
    xenstored: true,
    ovsdb: true,
    vswitchd: true,
    switching: true,
    foreign: {},
    netdevs: 0,
  };
}

const absent = (domid: number): VifModel => ({
  domid,
  present: false,
  topology: 'bridge',
  keys: {},
  netdev: 0,
  name: nameOf(domid),
  status: 'pending',
  gateway: undefined,
  unsure: false,
  uncertain: false,
});

export const nameOf = (domid: number): string => `vif${domid}.0`;
export const wantedName = ({ domid, keys }: VifModel): string => keys.vifname ?? nameOf(domid);
export const macOf = (domid: number, other = false): string =>
  `00:16:3e:0${other ? 1 : 0}:${domid.toString(16).padStart(2, '0')}:00`;
export const isRouted = ({ topology }: VifModel): boolean => topology === 'route' || topology === 'nat';
export const serving = (model: Model): boolean => model.vifd && model.xenstored;
export const isConnected = (vif: VifModel): boolean => vif.present && vif.status === 'connected';

/** The address of its own that a vif of this topology can have in its `ip` key. */
export function ownIp(topology: Topology, domid: number): string {
  const host = { bridge: '10.20.0', openvswitch: '10.30.0', route: '198.18.0', nat: '' }[topology];
  return topology === 'nat' ? `10.7.${domid}.9/24` : `${host}.${domid}`;
}

/** An address on the bridge that a guest takes in vain. */
export const spoofed = (domid: number): string => `10.20.1.${domid}`;

/** What the guest is configured with: its address, and its router's where it has one. */
export function guestOf(vif: VifModel): { address: string; prefix: number; router: string | undefined } {
  const { domid, topology, keys } = vif;
  switch (topology) {
    case 'bridge':
    case 'openvswitch':
      return { address: ownIp(topology, domid), prefix: 16, router: undefined };
    case 'route':
      return {
        address: keys.ip ?? ownIp('route', domid),
        prefix: 32,
        router: uplinkAddress[vif.gateway ?? keys.gatewaydev ?? 'up0'],
      };
    case 'nat': {
      if (keys.ip === undefined)
        return { address: `10.0.${domid}.1`, prefix: 16, router: `10.0.${domid}.128` };
      const address = keys.ip.replace('/24', '');
      // 127 more in the last octet.
      return { address, prefix: 24, router: address.replace(/\d+$/, (octet) => `${Number(octet) + 127}`) };
    }
  }
}

export const uplinkAddress: Readonly<Record<Uplink, string>> = { up0: '192.0.2.1', up1: '203.0.113.1' };
export const uplinkPeer: Readonly<Record<Uplink, string>> = { up0: '192.0.2.254', up1: '203.0.113.254' };
export const internet = '198.51.100.80';
export const management = { address: '10.99.0.1', peer: '10.99.0.2' };
export const bridgePeer: Readonly<Record<Bridge, string>> = {
  xenbr0: '10.20.255.254',
  xenbr1: '10.20.255.253',
};
/** A second address of each peer: a guest asks for it by ARP under the address that it takes in vain. */
export const otherPeer: Readonly<Record<Bridge, string>> = {
  xenbr0: '10.20.255.252',
  xenbr1: '10.20.255.251',
};
export const ovsPeer = '10.30.255.254';

export const usable = ({ there, up, address }: UplinkModel): boolean => there && up && address;

/** The uplink whose address a routed vif is to have; undefined while there is none. */
export function gatewayOf(vif: VifModel, model: Model): Uplink | undefined {
  const wanted = vif.keys.gatewaydev ?? model.defaultRoute;
  if (wanted === undefined) return undefined;
  const { there, address } = model.uplinks[wanted];
  return there && address ? wanted : undefined;
}

export const vifOf = (model: Model, domid: number): VifModel =>
  model.vifs.find((vif) => vif.domid === domid) as VifModel;

/** The vifs that share an address, or a name that they have or want, with this one. */
export function entangled(vif: VifModel, model: Model): VifModel[] {
  if (!vif.present) return [];
  return model.vifs.filter(
    (other) =>
      other.present &&
      other.domid !== vif.domid &&
      ((isRouted(vif) && isRouted(other) && guestOf(vif).address === guestOf(other).address) ||
        [vif.name, wantedName(vif)].some((name) => name === other.name || name === wantedName(other))),
  );
}

/** Whether others have something that the vif needs, or it has what others need. */
export const isEntangled = (vif: VifModel, model: Model): boolean =>
  entangled(vif, model).length > 0 || Object.values(model.foreign).includes(vif.domid);

/** Of the routed vifs with one address the one whose netdev came last. */
export function holdsAddress(vif: VifModel, model: Model): boolean {
  return entangled(vif, model).every(
    (other) =>
      !isConnected(other) || guestOf(other).address !== guestOf(vif).address || other.netdev < vif.netdev,
  );
}

/** What the daemon makes of everything, when it can. */
export function settle(model: Model): Model {
  if (!serving(model)) return model;
  let vifs = model.vifs.map((vif) => ({
    ...vif,
    uncertain: false,
    unsure: vif.topology === 'route' && gatewayOf(vif, model) === undefined && (vif.uncertain || vif.unsure),
  }));
  // A name that one gives up is another's in the next round.
  for (let round = 0; round < 4; round++) {
    vifs = vifs.map((vif) => settled(vif, { ...model, vifs }));
  }
  return { ...model, vifs };
}

function settled(vif: VifModel, model: Model): VifModel {
  if (!vif.present) return vif;
  const name = wantedName(vif);
  const failed: VifModel = { ...vif, status: 'error', gateway: undefined };
  if (model.vifs.some((other) => other.present && other.domid !== vif.domid && other.name === name))
    return failed;
  if (name in model.foreign) return failed;
  const fine: VifModel = { ...vif, status: 'connected', name };
  // All that can be done without the switch is done; without its database nothing is, the name included.
  const waiting: VifModel = { ...(model.ovsdb ? fine : vif), status: 'pending', gateway: undefined };
  switch (vif.topology) {
    case 'bridge':
      return model.bridges[vif.keys.bridge as Bridge] ? { ...fine, gateway: undefined } : failed;
    case 'openvswitch':
      if (!vif.keys.bridge?.startsWith('ovsbr0')) return model.ovsdb ? failed : waiting;
      if (vif.status === 'connected') return { ...fine, gateway: undefined };
      return model.ovsdb && model.switching ? { ...fine, gateway: undefined } : waiting;
    case 'route': {
      const gateway = gatewayOf(vif, model);
      if (gateway !== undefined) return { ...fine, gateway };
      // What is up stays up, with what it has.
      return vif.status === 'connected' && vif.gateway !== undefined ? fine : failed;
    }
    case 'nat': {
      const first = entangled(vif, model).find(
        (other) => isConnected(other) && guestOf(other).address === guestOf(vif).address,
      );
      return first !== undefined && vif.status !== 'connected' ? failed : { ...fine, gateway: undefined };
    }
  }
}

/** An echo request, or a DHCP discover, and whether it must be answered, or must not. */
export interface Probe {
  readonly kind: 'echo' | 'dhcp';
  /** A guest's domid, or another namespace. */
  readonly in: number | Uplink;
  readonly from?: string;
  readonly to: string;
  readonly must: boolean;
  /** A sentence for people. */
  readonly what: string;
}

/** Whether more than one way for it to be is right. */
const isOpen = ({ uncertain, unsure }: VifModel): boolean => uncertain || unsure;

/** What guests must reach, and must not. Nothing is said of what is being changed while no daemon answers. */
export function probes(model: Model): Probe[] {
  return model.vifs.flatMap((vif) => (vif.present && !isOpen(vif) ? probesOf(vif, model) : []));
}

function probesOf(vif: VifModel, model: Model): Probe[] {
  const { address, router } = guestOf(vif);
  const echo = (to: string, must: boolean, whom: string, from = address): Probe => ({
    kind: 'echo',
    in: vif.domid,
    from,
    to,
    must,
    what: `the guest of ${nameOf(vif.domid)} (${vif.topology}, ${from}) and ${whom} (${to})`,
  });
  const next = (fits: (other: VifModel) => boolean): Probe[] => {
    const after = [...model.vifs, ...model.vifs].slice(model.vifs.indexOf(vif) + 1);
    const other = after.find(
      (one) => one.domid !== vif.domid && isConnected(one) && !isOpen(one) && fits(one),
    );
    return other === undefined
      ? []
      : [echo(guestOf(other).address, true, `the guest of ${nameOf(other.domid)} (${other.topology})`)];
  };
  const connected = isConnected(vif);
  switch (vif.topology) {
    case 'bridge': {
      const on = vif.keys.bridge as Bridge;
      const other: Bridge = on === 'xenbr0' ? 'xenbr1' : 'xenbr0';
      const allowed = ({ keys, domid }: VifModel) =>
        keys.ip === undefined || keys.ip === ownIp('bridge', domid);
      const there = connected && model.bridges[on];
      return [
        echo(bridgePeer[other], false, `the peer on ${other}`),
        ...(on in bridgePeer
          ? [
              echo(bridgePeer[on], there && allowed(vif), `the peer on ${on}`),
              echo(
                otherPeer[on],
                there && [undefined, spoofed(vif.domid)].includes(vif.keys.ip),
                `the peer on ${on}`,
                spoofed(vif.domid),
              ),
            ]
          : []),
        ...(there && allowed(vif)
          ? next((one) => one.topology === 'bridge' && one.keys.bridge === on && allowed(one))
          : []),
      ];
    }
    case 'openvswitch': {
      // Without its database ovs-vswitchd does not run the userspace datapath (bridge_run in its bridge.c).
      if (!model.switching || !model.ovsdb) return [];
      const tagged = vif.keys.bridge === 'ovsbr0.10';
      // What waits for the switch may begin to work a moment before that is told.
      if (vif.status === 'pending') return [];
      return [
        echo(ovsPeer, connected && !tagged, 'the peer on ovsbr0'),
        ...(connected
          ? next((one) => one.topology === 'openvswitch' && one.keys.bridge === vif.keys.bridge)
          : []),
      ];
    }
    case 'nat': {
      const way = model.defaultRoute !== undefined && usable(model.uplinks[model.defaultRoute]);
      return [
        ...(connected ? [echo(router as string, true, 'its router')] : []),
        echo(internet, connected && way, `the internet by ${model.defaultRoute}`),
        echo(management.peer, false, 'the management network'),
        ...(connected ? next((one) => isRouted(one) && holdsAddress(one, model)) : []),
        ...(connected && serving(model)
          ? [
              {
                kind: 'dhcp' as const,
                in: vif.domid,
                to: `${address} ${router}`,
                must: true,
                what: `a lease for ${nameOf(vif.domid)}`,
              },
            ]
          : []),
      ];
    }
    case 'route': {
      if (!holdsAddress(vif, model)) return [];
      const way = model.defaultRoute !== undefined && usable(model.uplinks[model.defaultRoute]);
      const { gateway } = vif;
      const same = connected && way && gateway === model.defaultRoute;
      const reached =
        gateway !== undefined && usable(model.uplinks[gateway]) && gatewayOf(vif, model) === gateway;
      return [
        ...(connected ? [echo(router as string, true, 'its router')] : []),
        ...(same || !connected || !way
          ? [echo(internet, same, `the internet by ${model.defaultRoute}`)]
          : []),
        echo(management.peer, false, 'the management network'),
        ...(connected ? next((one) => isRouted(one) && holdsAddress(one, model)) : []),
        ...(connected && reached
          ? [
              {
                kind: 'echo' as const,
                in: gateway,
                to: address,
                must: true,
                what: `the network at ${gateway} and the guest of ${nameOf(vif.domid)} (${address})`,
              },
            ]
          : []),
      ];
    }
  }
}

/** Whether a vif must say in its status that something is missing; undefined where that is left open. */
export function missesSomething(vif: VifModel, model: Model): boolean | undefined {
  if (!isConnected(vif)) return undefined;
  if (vif.topology === 'route') return gatewayOf(vif, model) === undefined;
  if (vif.topology === 'bridge') return false;
  if (vif.topology === 'openvswitch') return model.ovsdb && model.switching ? false : undefined;
  return model.defaultRoute === undefined ? undefined : false;
}
