/** Where two guests are told apart: between ports of a Linux bridge, on another switch, or by this machine's routing. */
export type Parting = 'port' | 'switch' | 'router';

/** What is asked of a topology besides the state that it desires of a vif, which its file in src/decide/topology says. */
export interface TopologyTraits {
  /** Its vifs are ports of a switch, which passes on the frames that guests send, those of other switches' protocols too. */
  readonly isSwitched: boolean;
  /** This domain is the router of its guests. */
  readonly isRouted: boolean;
  /** The addresses of its guests are translated, and those of guests without the `ip` key are chosen by vifd. */
  readonly isNat: boolean;
  /** Its vifs can be in VLANs, which the `vlan` key names. */
  readonly hasVlans: boolean;
  /** Where guests of different groups are parted. */
  readonly partedBy: Parting;
  /** Its vifs have the address of the device that the `gatewaydev` key names. */
  readonly hasGatewayDevice: boolean;
}

const traits = {
  bridge: {
    isSwitched: true,
    isRouted: false,
    isNat: false,
    hasVlans: true,
    hasGatewayDevice: false,
    partedBy: 'port',
  },
  route: {
    isSwitched: false,
    isRouted: true,
    isNat: false,
    hasVlans: false,
    hasGatewayDevice: true,
    partedBy: 'router',
  },
  nat: {
    isSwitched: false,
    isRouted: true,
    isNat: true,
    hasVlans: false,
    hasGatewayDevice: false,
    partedBy: 'router',
  },
  openvswitch: {
    isSwitched: true,
    isRouted: false,
    isNat: false,
    hasVlans: true,
    hasGatewayDevice: false,
    partedBy: 'switch',
  },
} as const satisfies Readonly<Record<string, TopologyTraits>>;

export type TopologyName = keyof typeof traits;

/** The topologies by name. The registry in src/decide/topology has exactly these; the compiler compares. */
export const topologyNames = Object.keys(traits) as readonly TopologyName[];

/** The traits of a topology; undefined for an operator's own script, which may do anything. */
export function traitsOf(topology: TopologyName): TopologyTraits;
export function traitsOf(topology: TopologyName | 'script' | undefined): TopologyTraits | undefined;
export function traitsOf(topology: TopologyName | 'script' | undefined): TopologyTraits | undefined {
  return topology === undefined || topology === 'script' ? undefined : traits[topology];
}

/** The topology a stock script stands for by its file name, whose directory does not matter; undefined for any other script. */
export const stockTopology = (script = ''): TopologyName | undefined =>
  topologyNames.find((name) => script.slice(script.lastIndexOf('/') + 1) === `vif-${name}`);
