import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import {
  ConfigError,
  flag,
  type Kind,
  listOf,
  matching,
  numberFrom,
  oneOf,
  path,
  Section,
  text,
} from './config-section.js';
import { topologyNames } from './topology/topology.js';
import { formatNetwork, type Network, networkOf, parseIpv4, parseMac, parseNetwork } from './vif/address.js';
import type { VifOptions } from './vif/options.js';

export const defaultConfigFile = '/etc/vifd/vifd.toml';

const antispoofModes = ['auto', 'strict', 'off'] as const;
const bridgeMtus = ['bridge', 'uplink'] as const;
const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** Where to serve something: a Unix socket, or an address and a port. */
export type Listen = { readonly path: string } | { readonly host: string; readonly port: number };

/** Everything that can be configured, validated. The defaults stand in {@link parseConfig}, nowhere else. */
export interface Config {
  readonly log: { readonly level: (typeof logLevels)[number] };
  /** How long a netdev may take to appear after its backend directory before that is reported, in ms. */
  readonly netdevTimeoutMs: number;
  /** The socket of Open vSwitch's database, as ovs-vsctl's --db takes it. Read when the daemon starts. */
  readonly openvswitch: { readonly database: string };
  readonly bridge: {
    /** Where a vif's MTU comes from when it has no `mtu` key: the bridge's when it joins, or its uplink's, followed. */
    readonly mtu: (typeof bridgeMtus)[number];
  };
  readonly scripts: {
    /** Where operators' own scripts may be. */
    readonly directories: readonly string[];
    /** Topologies by the file names of scripts which they stand in for. */
    readonly map: ReadonlyMap<string, string>;
  };
  readonly hooks: {
    /** Whose executables are called after attach, update and detach; undefined for none. */
    readonly directory: string | undefined;
  };
  readonly metrics: {
    /** Where Prometheus may ask; undefined: nowhere. */
    readonly listen: Listen | undefined;
  };
  readonly vifs: readonly VifOptions[];
  /**
   * Which vifs are held to their MAC and the addresses of their `ip` key: with `auto` those that have one, with
   * `strict` all, and one without is refused, with `off` none.
   */
  readonly antispoof: { readonly mode: (typeof antispoofModes)[number] };
  readonly route: {
    /** Whose address a routed vif has when its `gatewaydev` does not say; undefined: the default route's device. */
    readonly gatewayDevice: string | undefined;
  };
  readonly nat: {
    /** Where the addresses of guests without `ip` come from, and the prefix length that they are told. */
    readonly network: Network;
    readonly prefix: number;
    /** The device to masquerade out of; undefined: wherever the default route leads. */
    readonly uplink: string | undefined;
    readonly dhcp: 'off' | 'dnsmasq';
    /** The resolvers guests are told of; none: those of this domain. */
    readonly dns: readonly string[];
  };
}

/**
 * Reads a configuration file. The default one may be absent, one named on the command line may not.
 * @throws ConfigError
 */
export function readConfig(file?: string): Config {
  try {
    return parseConfig(readFileSync(file ?? defaultConfigFile, 'utf8'), file ?? defaultConfigFile);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' && file === undefined) return parseConfig('', defaultConfigFile);
    if (code === undefined) throw error;
    throw new ConfigError(file ?? defaultConfigFile, `cannot be read: ${(error as Error).message}`);
  }
}

/** @throws ConfigError */
export function parseConfig(source: string, file: string): Config {
  let table: Record<string, unknown>;
  try {
    table = parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new ConfigError(file, `line ${error.line}: ${error.message.split('\n')[0]}`);
  }
  const root = new Section(file, '', table);
  const log = root.section('log');
  const scripts = root.section('scripts');
  const scriptMap = scripts.section('map');
  const nat = root.section('nat');
  const config: Config = {
    log: { level: log.get('level', oneOf(logLevels)) ?? 'info' },
    netdevTimeoutMs: 1000 * (root.section('netdev').get('timeout', numberFrom(1, 600)) ?? 10),
    antispoof: { mode: root.section('antispoof').get('mode', oneOf(antispoofModes)) ?? 'auto' },
    bridge: { mtu: root.section('bridge').get('mtu', oneOf(bridgeMtus)) ?? 'bridge' },
    openvswitch: {
      database:
        root.section('openvswitch').get('database', unixSocket) ?? 'unix:/var/run/openvswitch/db.sock',
    },
    scripts: {
      directories: scripts.get('directories', listOf(path)) ?? ['/etc/xen/scripts'],
      map: new Map(scriptMap.keys().map((key) => [key, scriptMap.get(key, oneOf(topologyNames)) ?? key])),
    },
    route: { gatewayDevice: root.section('route').get('gateway_device', deviceName) },
    nat: {
      ...natPlan(nat.get('network', natNetwork)),
      uplink: nat.get('uplink', deviceName),
      dhcp: nat.get('dhcp', oneOf(['off', 'dnsmasq'] as const)) ?? 'off',
      dns: nat.get('dns', listOf(resolver)) ?? [],
    },
    hooks: { directory: root.section('hooks').get('directory', path) },
    metrics: { listen: root.section('metrics').get('listen', listenAddress) },
    vifs: root.sections('vif').map(readVifOptions),
  };
  root.refuseUnknown();
  return config;
}

/** The settings of one `[[vif]]`; a key that is absent is left out. */
function readVifOptions(table: Section): VifOptions {
  const offload = table.section('offload');
  const settings = {
    isolated: table.get('isolated', flag),
    multicastFlood: table.get('multicast_flood', flag),
    broadcastFlood: table.get('broadcast_flood', flag),
    txqueuelen: table.get('txqueuelen', numberFrom(0, 1_000_000)),
    offload:
      offload.keys().length === 0
        ? undefined
        : Object.fromEntries(offload.keys().map((key) => [key, offload.get(key, flag) === true])),
  };
  return {
    bridge: table.get('bridge', matching('a bridge name', /^[^\s/:]{1,15}$/)),
    mac: table.get('mac', text('a MAC address', parseMac)),
    ...Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)),
  };
}

const unixSocket = matching('unix: and an absolute path', /^unix:\/./);

/** `address:port`, `[v6]:port`, or `unix:` and an absolute path. */
const listenAddress: Kind<Listen> = text('address:port, [address]:port or unix:/path', (value) => {
  if (value.startsWith('unix:/')) return { path: value.slice('unix:'.length) };
  const match = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(value);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port >= 1 && port <= 65535 ? { host, port } : undefined;
});

const deviceName = matching("a network device's name", /^[^\s/:"]{1,15}$/);

const resolver: Kind<string> = text('an IPv4 address', (value) =>
  parseIpv4(value) === undefined ? undefined : value,
);

const natNetwork: Kind<Network> = text('an IPv4 network from /8 to /24', (value) => {
  const network = parseNetwork(value);
  const fits = network?.family === 4 && network.prefix >= 8 && network.prefix <= 24;
  return fits && networkOf(network).address === network.address ? network : undefined;
});

/** The stock address plan takes all of 10/8, and tells its guests /16. */
function natPlan(given: Network | undefined): { network: Network; prefix: number } {
  const stock: Network = { family: 4, address: '10.0.0.0', prefix: 8 };
  const network = given ?? stock;
  return { network, prefix: formatNetwork(network) === formatNetwork(stock) ? 16 : network.prefix };
}
