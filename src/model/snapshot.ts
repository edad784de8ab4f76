import { type Network, parseNetwork } from './address.js';
import type { Block } from './block.js';
import { whyNoHost } from './host-address.js';
import { isUnusableMac, parseMac } from './mac.js';
import { type OperationError, problem } from './operation-error.js';
import { backendPath, parseVifName, type VifId, vifName } from './vif-id.js';
import { type PortVlan, parseVlans } from './vlan.js';

/** The states a backend and a frontend go through (xen/include/public/io/xenbus.h), those we decide by. */
export const xenbusState = { initWait: 2, connected: 4, closing: 5, closed: 6 } as const;

/** The keys below `backend/vif/F/N` that decide anything; an event on any other is noise. */
export const vifKeys = [
  'online',
  'state',
  'script',
  'bridge',
  'mac',
  'ip',
  'gatewaydev',
  'vifname',
  'mtu',
  'vlan',
  'forwarddev',
  'iface-id',
  'hotplug-status',
  'hotplug-error',
] as const;

/** The keys that change in the life of a vif: netback writes the state, dom0 takes the vif away, and agents tell how it went. */
export const lifeKeys = ['online', 'state', 'hotplug-status', 'hotplug-error'] as const;
export type LifeKey = (typeof lifeKeys)[number];

/** What xenstore says of one vif, parsed. A key that is malformed is in `problems` and undefined here. */
export interface VifSnapshot {
  readonly id: VifId;
  /** dom0 wants the device; it writes 0 to take it away. A reconnecting guest leaves it at 1. */
  readonly online: boolean;
  readonly state: number | undefined;
  /** The script as dom0 wrote it. Its file name chooses the topology. */
  readonly script: string | undefined;
  /** As written: a bridge's name, or Open vSwitch's `name[.tag][:trunk…]`. */
  readonly bridge: string | undefined;
  readonly mac: string | undefined;
  readonly ip: readonly Network[];
  readonly gatewaydev: string | undefined;
  readonly vifname: string | undefined;
  readonly mtu: number | undefined;
  /** What a controller is to know the port of Open vSwitch by; absent for what the configuration says. */
  readonly ifaceId?: string;
  /** The VLANs of `vlan`; undefined when there is no such key. */
  readonly vlans: readonly PortVlan[] | undefined;
  readonly hotplugStatus: string | undefined;
  readonly hotplugError: string | undefined;
  /** The frontend's `mtu`: ours to write, so it says what we wrote last. */
  readonly frontendMtu: number | undefined;
  /** The guest's name and uuid; only where they were asked for and may be read, which is in dom0. */
  readonly guest?: { readonly name: string | undefined; readonly uuid: string | undefined };
  /** The other vifs of the same card of the same guest; absent for none. */
  readonly twins?: readonly VifId[];
  /** Present while no frame of its card may pass. */
  readonly blocked?: Block;
  readonly problems: readonly OperationError[];
  /** What the keys ask for and no topology has; the vif works without. */
  readonly unused?: readonly OperationError[];
}

/**
 * Whether a vif was attached when its keys were read. What it needs for more reach may go for a while then, without its
 * being taken off the network. The guest can read the key and not write it.
 */
export const isConnected = (snapshot: VifSnapshot | undefined): boolean =>
  snapshot?.hotplugStatus === 'connected';

/** Smallest and largest MTU: IPv4's minimum (RFC 791), and what an IPv4 length can say. */
const mtuRange = { least: 68, most: 65535 };

/**
 * Parses the keys of one backend directory (libxl's `libxl__set_xenstore_nic` writes them) and the frontend's `mtu`. Never throws:
 * what is wrong with a key comes out in `problems`, each naming the key and the remedy.
 */
export function snapshot(id: VifId, keys: ReadonlyMap<string, string>, frontendMtu = ''): VifSnapshot {
  const problems: OperationError[] = [];
  /** A key that is there and not empty, parsed; libxl writes some keys empty to say "none". */
  const read = <T>(key: string, parse: (text: string) => T | undefined, expected: string): T | undefined => {
    const text = keys.get(key);
    if (text === undefined || text === '') return undefined;
    const value = parse(text);
    if (value === undefined) {
      problems.push(
        problem('key-malformed', 'read', `${backendPath(id)}/${key}`, `${quote(text)} is not ${expected}`),
      );
    }
    return value;
  };

  const script = read('script', parsePath, 'a path of printable ASCII');
  if (!keys.get('script')) {
    problems.push(
      problem('key-missing', 'read', `${backendPath(id)}/script`, 'missing, so the topology is unknown'),
    );
  }
  const vlan = keys.get('vlan') ?? '';
  const vlans = vlan === '' ? undefined : parseVlans(vlan);
  if (typeof vlans === 'string') {
    problems.push(problem('key-malformed', 'read', `${backendPath(id)}/vlan`, `${quote(vlan)}: ${vlans}`));
  }
  const vifname = keys.get('vifname') ?? '';
  const isTooLong = isTooLongBySuffix(vifname);
  const unused = [
    ...(isTooLong ? [unusedName(id, vifname)] : []),
    ...[...keys]
      .filter(([key, text]) => isColo(key) && text !== '')
      .slice(0, 1)
      .map(([key]) => unusedColo(id, key)),
  ];
  const ip = read('ip', parseNetworks, 'a list of addresses split by blanks, like "10.0.0.5 2001:db8::/64"');
  const [hostless] = ip?.flatMap(({ word, network }) => noHost(id, word, network)) ?? [];
  if (hostless !== undefined) problems.push(hostless);
  const ifaceId = read(
    'iface-id',
    (text) => (/^[!-~]{1,200}$/.test(text) ? text : undefined),
    '1 to 200 printable characters of ASCII without blanks',
  );
  return {
    id,
    online: keys.get('online') === '1',
    state: read('state', parseNumber, 'a xenbus state'),
    script,
    bridge: read('bridge', parseBridge, 'a bridge name'),
    mac: read('mac', parseGuestMac, 'the MAC address of an interface, six hex octets like 00:16:3e:00:00:01'),
    ip: hostless === undefined ? (ip?.map(({ network }) => network) ?? []) : [],
    gatewaydev: read('gatewaydev', parseDevice, 'a network device name'),
    vifname: isTooLong
      ? undefined
      : read(
          'vifname',
          (text) => parseVifname(id, text),
          'an interface name: 1 to 15 characters, no blank, "/", ":" or "%", not "all" or "default", and not another vif\'s',
        ),
    mtu: read('mtu', parseMtu, `an MTU from ${mtuRange.least} to ${mtuRange.most}`),
    vlans: typeof vlans === 'string' ? undefined : vlans,
    hotplugStatus: keys.get('hotplug-status'),
    hotplugError: keys.get('hotplug-error'),
    frontendMtu: parseNumber(frontendMtu),
    problems,
    ...(ifaceId === undefined ? {} : { ifaceId }),
    ...(unused.length === 0 ? {} : { unused }),
  };
}

/**
 * A snapshot with some keys of its life as they are now; undefined where all have to be read: without a state the directory is gone,
 * and a vif that is not being taken away, or whose state goes back, may be another one by the same number.
 */
export function inLife(
  before: VifSnapshot,
  now: ReadonlyMap<LifeKey, string | undefined>,
): VifSnapshot | undefined {
  const state = now.has('state') ? parseNumber(now.get('state') ?? '') : before.state;
  if (state === undefined || before.state === undefined || state < before.state) return undefined;
  if (now.has('online') && now.get('online') !== '0') return undefined;
  return {
    ...before,
    state,
    online: now.has('online') ? false : before.online,
    hotplugStatus: now.has('hotplug-status') ? now.get('hotplug-status') : before.hotplugStatus,
    hotplugError: now.has('hotplug-error') ? now.get('hotplug-error') : before.hotplugError,
  };
}

/** What libxl appends to the name of a vif for the copy that it gives to the stubdomain of an HVM guest. */
const stubdomainSuffix = '-emu';

/** Whether a name is too long only by the suffix that is libxl's own, so that nothing is wrong with the guest's configuration. */
const isTooLongBySuffix = (text: string): boolean =>
  text.length > 15 &&
  text.endsWith(stubdomainSuffix) &&
  parseDevice(text.slice(0, -stubdomainSuffix.length)) !== undefined;

const unusedName = (id: VifId, vifname: string): OperationError =>
  problem(
    'key-unused',
    `rename ${vifName(id)} to`,
    vifname,
    `libxl's suffix ${stubdomainSuffix} makes it longer than 15 characters, so it keeps its own name; a vifname of 11 has room for it`,
  );

/** Whether a key is one of those that libxl writes for COLO alone (MAYBE_ADD_COLO_ARGS in libxl_nic.c). */
export const isColo = (key: string): boolean => key === 'forwarddev' || key.startsWith('colo_');

const unusedColo = (id: VifId, key: string): OperationError =>
  problem(
    'key-unused',
    'read',
    `${backendPath(id)}/${key}`,
    'COLO is set up by libxl in dom0 alone, and is not in a driver domain',
  );

const parseNumber = (text: string): number | undefined => (/^\d{1,9}$/.test(text) ? Number(text) : undefined);

function parseMtu(text: string): number | undefined {
  const value = parseNumber(text);
  return value !== undefined && value >= mtuRange.least && value <= mtuRange.most ? value : undefined;
}

/** Printable, so that it can be shown, and no longer than a path component may be. */
const parsePath = (text: string): string | undefined =>
  /^[\x20-\x7e]{1,255}$/.test(text) ? text : undefined;

const noDevices = ['.', '..', 'all', 'default'];

/**
 * What the kernel takes as a netdev name (dev_valid_name in net/core/dev.c), of printable ASCII: bytes that are no
 * UTF-8 have been lost on the way here. Not "%" either, by which a rename has the kernel make up a name of its own; nor what the
 * sysctls of all devices and of those to come are named by (sysctl_dev_name_is_allowed in include/net/ip.h).
 */
function parseDevice(text: string): string | undefined {
  return /^[!-~]{1,15}$/.test(text) && !/[/:%]/.test(text) && !noDevices.includes(text) ? text : undefined;
}

/** Any netdev name, and behind it Open vSwitch's tag and trunks. */
const parseBridge = (text: string): string | undefined =>
  /^(?![^:]*[/%])[!-9;-~]{1,20}(:\d{1,4})*$/.test(text) ? text : undefined;

/** A rename to the pattern netback itself uses would take the name the next guest's netdev needs. */
function parseVifname(id: VifId, text: string): string | undefined {
  const taken = parseVifName(text);
  const foreign = taken !== undefined && (taken.domid !== id.domid || taken.devid !== id.devid);
  return foreign ? undefined : parseDevice(text);
}

function parseGuestMac(text: string): string | undefined {
  const mac = parseMac(text);
  return mac !== undefined && !isUnusableMac(mac) ? mac : undefined;
}

/** The words of a list, each with its network. */
function parseNetworks(text: string): { word: string; network: Network }[] | undefined {
  const parsed = text
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const network = parseNetwork(word);
      return network && { word, network };
    });
  return parsed.every((one) => one !== undefined) ? parsed : undefined;
}

/** That a word of the `ip` key is no address that a guest can have. */
function noHost(id: VifId, word: string, network: Network): OperationError[] {
  const why = whyNoHost(network);
  if (why === undefined) return [];
  return [problem('key-malformed', 'read', `${backendPath(id)}/ip`, `${quote(word)} ${why}`)];
}

/** A value of xenstore, fit for a log line: bounded, without control characters. */
function quote(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return `"${printable.length > 40 ? `${printable.slice(0, 40)}...` : printable}"`;
}
