import {
  addressesOf,
  guestOf,
  has4,
  linkLocalOf,
  macOf,
  nameOf,
  routerLinkLocal,
  uplinkAddress,
  uplinkAddress6,
} from './addresses.js';
import { isConnected, isRouted, type Model, type Uplink, type VifModel } from './model.js';
import { gatewayOf, has6, holdsAddress, vlansOf, waysOut } from './settle.js';
import { isUp, type Link, linkOf, type Snapshot } from './snapshot.js';

/** The protocol number of the daemon's routes, and the table they are in. */
const ours = { protocol: 120, table: 254, metric: 2 };
const policyDrop = 0;

/**
 * What is not on the host as it should be, as sentences; empty when all is. Nothing is said of what is uncertain.
 * @param rules those that all vifs share, by table; what is seen first is put in here
 */
export function unmet(model: Model, snapshot: Snapshot, rules: Map<string, string>): string[] {
  return [
    ...model.vifs.flatMap((vif) => {
      if (!vif.present || vif.uncertain) return [];
      // One that only waits for Open vSwitch to take its port is ready otherwise, once that can be told of it.
      const isWaiting = vif.status === 'pending' && vif.topology === 'openvswitch';
      if (isWaiting && !model.ovsdb) return [];
      const lines = isConnected(vif) || isWaiting ? attached(vif, model, snapshot) : detached(vif, snapshot);
      return lines.map((line) => `${nameOf(vif.slot)} (${vif.topology}): ${line}`);
    }),
    ...tables(model, snapshot, rules),
    ...leftovers(model, snapshot),
    ...servers(model, snapshot),
  ];
}

/** The device that has it as a port: the kernel datapath of Open vSwitch has all of them, whatever their bridge. */
function masterOf({ topology, keys }: VifModel, { kernelDatapath }: Model): string | undefined {
  if (topology === 'openvswitch') return kernelDatapath ? 'ovs-system' : undefined;
  return topology === 'bridge' ? keys.bridge : undefined;
}

function attached(vif: VifModel, model: Model, snapshot: Snapshot): string[] {
  const link = linkOf(snapshot, vif.name);
  if (link === undefined) return [`there is no netdev ${vif.name}`];
  const own = nameOf(vif.slot);
  const lines: string[] = [];
  const must = (holds: boolean, line: string): void => {
    if (!holds) lines.push(line);
  };
  must(isUp(link), 'the netdev is down');
  must(link.mac === 'fe:ff:ff:ff:ff:ff', `the netdev has the address ${link.mac}`);
  must(link.mtu === vif.mtu, `MTU ${link.mtu}, not ${vif.mtu}`);
  must(vif.name === own || link.alias === own, `the alias is "${link.alias}"`);
  const master = snapshot.links.find(({ index }) => index === link.master)?.name;
  const bridge = masterOf(vif, model);
  must(master === bridge, `it is a port of ${master}, not of ${bridge}`);
  lines.push(...filter(vif, link, model, snapshot));
  if (isRouted(vif)) lines.push(...routing(vif, link, model, snapshot));
  else {
    must(
      !snapshot.routes.some(({ dev, protocol }) => dev === link.index && protocol === ours.protocol),
      'it has routes',
    );
  }
  const port = snapshot.ports?.find(({ name }) => name === vif.name);
  if (vif.topology === 'openvswitch' && snapshot.ports !== undefined) {
    const { tag, trunks = [] } = vlansOf(vif) ?? {};
    const cell = <T>(value: T | undefined): unknown => value ?? ['set', []];
    const mode = trunks.length > 0 ? 'native-untagged' : undefined;
    const mac = macOf(vif.slot, vif.keys.othermac);
    const vlans = JSON.stringify([cell(tag), cell(trunks[0]), cell(mode)]);
    must(
      port?.bridge === 'ovsbr0' && port.vlans === vlans && port.owner === own && port.mac === mac,
      `its port is ${JSON.stringify(port)}, its VLANs should be ${vlans}, its MAC ${mac}`,
    );
  } else if (vif.topology !== 'openvswitch') {
    must(port === undefined, `it has a port ${JSON.stringify(port)}`);
  }
  return lines;
}

/** Whether a vif has a filter, be it only for control frames. Open vSwitch's userspace datapath takes none. */
const isFiltered = (vif: VifModel, { kernelDatapath }: Model): boolean =>
  kernelDatapath || vif.topology !== 'openvswitch';

function filter(vif: VifModel, link: Link, model: Model, { chains, rules, sets }: Snapshot): string[] {
  const own = nameOf(vif.slot);
  const found = chains.filter(({ table, chain }) => table === 'netdev vifd' && chain.startsWith(`${own}_`));
  const elements = sets.flatMap(({ table, set, elements: those }) =>
    those.filter(({ comment }) => comment === own).map(({ key }) => `${table} ${set} ${key}`),
  );
  const wanted = wantedElements(vif, model);
  // Whether an address is still masqueraded that has no way out matters to no guest.
  const bound = vif.topology === 'nat' && model.named !== undefined;
  const ways = !bound && (model.defaultRoute === undefined || model.defaultRoute6 === undefined);
  // Whether the machine forwarded IPv6 before is known by the first guest that has it.
  const open = ways ? / (masqueraded[46]|ways_out|ways_in|opened6) / : / opened6 /;
  const closed = (list: readonly string[]): string[] => list.filter((element) => !open.test(element)).sort();
  const lines = closed(elements).join() === closed(wanted).join() ? [] : [elementsLine(elements, wanted)];
  if (!isFiltered(vif, model)) {
    return [...lines, ...found.map(({ chain }) => `it is not filtered, and there is the chain ${chain}`)];
  }
  const [chain, ...more] = found;
  if (chain === undefined) return [...lines, 'it has no filter'];
  const of = rules.filter(({ table, chain: name }) => table === chain.table && name === chain.chain);
  return [
    ...lines,
    ...more.map((one) => `there is another chain, ${one.chain}`),
    ...(chain.chain === `${own}_${link.index}` ? [] : [`the chain is ${chain.chain}`]),
    ...(chain.devices.join() === link.name ? [] : [`the chain is on "${chain.devices}", not ${link.name}`]),
    ...(chain.policy === policyDrop ? [] : ['the policy of the chain is accept']),
    ...(of.length === 1
      ? []
      : [`the chain has the rules ${of.map(({ comment }) => `"${comment}"`).join(', ')}`]),
  ];
}

const elementsLine = (found: readonly string[], wanted: readonly string[]): string => {
  const only = (list: readonly string[], other: readonly string[]): string =>
    list
      .filter((element) => !other.includes(element))
      .map(readable)
      .join(', ') || 'none';
  return `elements that are missing: ${only(wanted, found)}; that should not be: ${only(found, wanted)}`;
};

/** An element's key with its printable part as text. */
const readable = (element: string): string =>
  element.replace(
    /[0-9a-f]+$/,
    (hex) =>
      `${Buffer.from(hex, 'hex')
        .toString('latin1')
        .replace(/[^!-~]+/g, '.')} ${hex}`,
  );

/** The elements of a vif in the sets of both tables, each as table, set and key. */
function wantedElements(vif: VifModel, model: Model): string[] {
  if (!isFiltered(vif, model)) return [];
  const name = text16(vif.name);
  const mac = Buffer.from(`${macOf(vif.slot, vif.keys.othermac).replaceAll(':', '')}0000`, 'hex');
  const held = !isRouted(vif) ? vif.keys.ip : has4(vif) ? guestOf(vif).address : undefined;
  const address = addressBytes(held ?? '');
  const six = vif.keys.ip6 === undefined ? [] : [vif.keys.ip6];
  const element = (set: string, ...parts: Buffer[]): string =>
    `${set} ${Buffer.concat(parts).toString('hex')}`;
  if (!isRouted(vif) && (vif.keys.ip ?? vif.keys.ip6) === undefined)
    return [element('netdev vifd unheld', name)];
  return [
    element('netdev vifd macs', name, mac),
    ...(held === undefined
      ? []
      : [
          element('netdev vifd speaks4', name),
          element('netdev vifd hosts4', name, address),
          // The same as numbers, for DHCP and, below, for neighbour discovery.
          element('netdev vifd dhcp_hosts', name, address),
        ]),
    ...six.map(() => element('netdev vifd speaks6', name)),
    ...six
      .flatMap((one) => [one, linkLocalOf(macOf(vif.slot, vif.keys.othermac))])
      .flatMap((one) =>
        ['hosts6', 'nd_hosts'].map((set) => element(`netdev vifd ${set}`, name, address6Bytes(one))),
      ),
    element('netdev vifd nd_macs', name, mac),
    ...(isRouted(vif)
      ? ['routed', 'confined', 'guests', 'opened4'].map((set) => element(`inet vifd ${set}`, name))
      : []),
    ...(vif.topology === 'route' ? [element('inet vifd untracked', name)] : []),
    ...waysOf(vif, model).flatMap((way) =>
      (vif.topology === 'route' ? ['ways_out', 'ways_in'] : ['ways_out']).map((set) =>
        element(`inet vifd ${set}`, name, text16(way)),
      ),
    ),
    ...(vif.topology === 'nat'
      ? [
          ...['dhcp_clients', 'behind_nat', 'limit_requests', 'request_drops'].map((set) =>
            element(`inet vifd ${set}`, name),
          ),
          // DHCP: 17 is UDP, and each part is padded to four bytes.
          element('inet vifd served', name, Buffer.from([17, 0, 0, 0, 0, 67, 0, 0])),
        ]
      : []),
    ...(vif.topology === 'nat' && model.named !== undefined ? [element('inet vifd bound', name)] : []),
    ...(vif.topology === 'nat' ? masqueraded(vif, model) : []).map(([set, guest, way]) =>
      element(`inet vifd ${set}`, guest, text16(way)),
    ),
  ];
}

/** What is masqueraded of a vif: the set, the guest's address and the device. */
function masqueraded(vif: VifModel, model: Model): [set: string, address: Buffer, way: string][] {
  const { ip6 } = vif.keys;
  const four = addressBytes(guestOf(vif).address);
  const six = ip6 !== undefined && has6(vif) ? [address6Bytes(ip6)] : [];
  return [
    ...waysOut(model, 4).map((way): [string, Buffer, string] => ['masqueraded4', four, way]),
    ...six.flatMap((address) =>
      waysOut(model, 6).map((way): [string, Buffer, string] => ['masqueraded6', address, way]),
    ),
  ];
}

/** The devices by which a routed vif's packets leave: its gateway device, and where the default route leads. */
function waysOf(vif: VifModel, model: Model): string[] {
  if (!isRouted(vif)) return [];
  if (vif.topology === 'nat' && model.named !== undefined) return [...model.named];
  const gateway = vif.topology === 'route' ? vif.keys.gatewaydev : undefined;
  const named = gateway !== undefined && model.uplinks[gateway].there ? [gateway] : [];
  return [
    ...new Set([...named, ...[model.defaultRoute, model.defaultRoute6].filter((way) => way !== undefined)]),
  ];
}

const text16 = (text: string): Buffer => Buffer.from(text.padEnd(16, '\0'));
/** An address of the walk, whose zeros are left out in one place. */
function address6Bytes(address: string): Buffer {
  const [head = [], tail = []] = address.split('::').map((part) => (part === '' ? [] : part.split(':')));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  const words = [...head, ...zeros, ...tail].map((word) => word.padStart(4, '0'));
  return Buffer.from(words.join(''), 'hex');
}
const addressBytes = (address: string): Buffer => Buffer.from(address.split('.').map(Number));

function routing(vif: VifModel, link: Link, model: Model, snapshot: Snapshot): string[] {
  const { address, router } = guestOf(vif);
  const lines: string[] = [];
  const must = (holds: boolean, line: string): void => {
    if (!holds) lines.push(line);
  };
  const holds = holdsAddress(vif, model);
  const routes = snapshot.routes.filter(({ to, table }) => to === `${address}/32` && table === ours.table);
  const own = routes.filter(({ dev }) => dev === link.index);
  if (holds && has4(vif)) {
    must(
      own.length === 1 && own[0]?.protocol === ours.protocol,
      `its route to ${address} is ${JSON.stringify(own)}`,
    );
    must(own.length === routes.length, `others have routes to ${address}: ${JSON.stringify(routes)}`);
    const neighbour = snapshot.neighbours.find((one) => one.dev === link.index && one.address === address);
    must(
      neighbour?.mac === macOf(vif.slot, vif.keys.othermac),
      `the neighbour ${address} is ${neighbour?.mac}`,
    );
  }
  const addresses = snapshot.addresses.filter(
    ({ dev, address: one }) => dev === link.index && !one.includes(':'),
  );
  // One that has IPv6 alone has the gateway's address of IPv4 where there is one, and else one of before, or none.
  const way = gatewayOf(vif, model);
  const expected = has4(vif)
    ? router
    : way !== undefined && model.uplinks[way].address
      ? uplinkAddress[way]
      : undefined;
  must(
    vif.unsure ||
      (expected === undefined
        ? addresses.length < 2
        : addresses.map((one) => one.address).join() === `${expected}/32`),
    `its addresses are ${addresses.map((one) => one.address)}, not ${expected}/32`,
  );
  const global6 = globalOf6(link, snapshot);
  // It has its new gateway's address before it gives up that of the one before.
  must(
    vif.topology === 'nat' || global6.length <= (has6(vif) ? 1 : 0),
    `its addresses of IPv6 are ${global6}`,
  );
  must(vif.unsure || has6(vif) || !isRouter6(link, snapshot), `it has ${routerLinkLocal}, and no IPv6`);
  for (const key of ['forwarding', 'proxy_arp']) {
    must(snapshot.sysctls[`net/ipv4/conf/${link.name}/${key}`] === '1', `${key} is off`);
  }
  const isIn = (set: string, is: (element: { key: string; comment: string }) => boolean): boolean =>
    snapshot.sets.some((one) => one.table === 'inet vifd' && one.set === set && one.elements.some(is));
  must(
    !isIn('opened_families', ({ key }) => key === '0a') ||
      isIn('opened6', ({ comment }) => comment === nameOf(vif.slot)),
    'IPv6 is noted as begun by vifd, and it is not held to its ways out',
  );
  const proxies = snapshot.proxies.filter((proxy) => proxy.address === address).map(({ dev }) => dev);
  const at = (name: string | undefined): number | undefined =>
    snapshot.links.find((one) => one.name === name)?.index;
  const gateway = gatewayOf(vif, model);
  if (has6(vif)) lines.push(...routing6(vif, link, gateway, model, snapshot));
  if (vif.topology === 'route' && holds && has4(vif)) {
    const missing = gateway !== undefined && proxies.join() !== `${at(gateway)}`;
    // A device that is down forgets them.
    must(!missing || !model.uplinks[gateway].up, `${address} is answered for at ${proxies}, not ${gateway}`);
  }
  if (vif.topology === 'nat') {
    must(snapshot.dhcp[nameOf(vif.slot)] !== undefined, 'dnsmasq has no file of it');
  }
  return lines;
}

const isRouter6 = ({ index }: Link, { addresses }: Snapshot): boolean =>
  addresses.some(({ dev, address }) => dev === index && address === `${routerLinkLocal}/64`);

const globalOf6 = (link: Link, snapshot: Snapshot): string[] =>
  snapshot.addresses
    .filter(({ dev, address }) => dev === link.index && address.includes(':') && !address.startsWith('fe80:'))
    .map(({ address }) => address);

function routing6(
  vif: VifModel,
  link: Link,
  gateway: Uplink | undefined,
  model: Model,
  snapshot: Snapshot,
): string[] {
  const address = vif.keys.ip6;
  const mac = macOf(vif.slot, vif.keys.othermac);
  const at = snapshot.links.find((one) => one.name === gateway)?.index;
  const isAnswered = snapshot.proxies.some((one) => one.address === address && one.dev === at);
  const elsewhere = snapshot.proxies.filter((one) => one.address === address && one.dev !== at);
  const isProxied = vif.topology === 'route' && gateway !== undefined && model.uplinks[gateway].up;
  const own6 = globalOf6(link, snapshot);
  const must: [boolean, string][] = [
    [
      snapshot.routes.some(
        ({ to, dev, protocol, table }) =>
          to === `${address}/128` && dev === link.index && protocol === ours.protocol && table === ours.table,
      ),
      `it has no route to ${address}`,
    ],
    [
      snapshot.neighbours.some((one) => one.dev === link.index && one.address === address && one.mac === mac),
      `it has no neighbour ${address}`,
    ],
    [isRouter6(link, snapshot), `it does not have ${routerLinkLocal}`],
    [
      !isProxied || own6.join() === `${uplinkAddress6[gateway]}/128`,
      `its addresses of IPv6 are ${own6}, not ${gateway}'s`,
    ],
    [!isProxied || isAnswered, `${address} is not answered for at ${gateway}`],
    [gateway === undefined || elsewhere.length === 0, `${address} is answered for beside ${gateway}, too`],
    [snapshot.sysctls['net/ipv6/conf/all/forwarding'] === '1', 'IPv6 is not forwarded'],
  ];
  return must.flatMap(([holds, line]) => (holds ? [] : [line]));
}

/** Off the network: nothing comes in or goes out, and nothing is kept for it. */
function detached(vif: VifModel, snapshot: Snapshot): string[] {
  const own = nameOf(vif.slot);
  const link = linkOf(snapshot, vif.name);
  const lines: string[] = [];
  if (link !== undefined) {
    if (isUp(link)) lines.push('it is not connected, and its netdev is up');
    if (link.master !== 0) lines.push('it is not connected, and a port of a bridge');
    if (snapshot.routes.some(({ dev, protocol }) => dev === link.index && protocol === ours.protocol)) {
      lines.push('it is not connected, and has routes');
    }
  }
  const masqueraded = snapshot.sets.some(
    ({ set, elements }) => set === 'masqueraded4' && elements.some(({ comment }) => comment === own),
  );
  if (masqueraded) lines.push('it is not connected, and masqueraded');
  if (snapshot.ports?.some(({ owner }) => owner === own)) {
    lines.push('it is not connected, and has a port in Open vSwitch');
  }
  return lines;
}

/** Whether a vif has something in a table of ours. One that no vif needs stays only for what others have in it. */
export const needsTable = (table: string, model: Model): boolean =>
  model.vifs.some(
    (vif) => isConnected(vif) && (table === 'netdev vifd' ? isFiltered(vif, model) : isRouted(vif)),
  );

/** Others' doings in our tables: what is switched off, and rules that are not as they were when they were seen first. */
function tables(
  model: Model,
  { tables: all, chains, rules }: Snapshot,
  known: Map<string, string>,
): string[] {
  return all
    .filter(({ table }) => /^(netdev|inet) vifd$/.test(table) && needsTable(table, model))
    .flatMap(({ table, dormant }) => {
      // A chain of others is theirs; those of vifs are looked at with them.
      const shared = chains
        .filter((chain) => chain.table === table && chain.chain !== 'mine' && !chain.chain.startsWith('vif'))
        .map(({ chain, policy }) => {
          const of = rules.filter((rule) => rule.table === table && rule.chain === chain);
          return `${chain} (${policy}): ${of.map(({ comment }) => comment).join(', ')}`;
        })
        .sort()
        .join('\n');
      if (!known.has(table)) known.set(table, shared);
      const before = (known.get(table) ?? '').split('\n');
      const now = shared.split('\n');
      return [
        ...(dormant ? [`table ${table} is dormant`] : []),
        ...now.filter((line) => !before.includes(line)).map((line) => `table ${table}: there is ${line}`),
        ...before.filter((line) => !now.includes(line)).map((line) => `table ${table}: missing is ${line}`),
      ];
    });
}

function leftovers(model: Model, snapshot: Snapshot): string[] {
  const there = new Set(model.vifs.filter(({ present }) => present).map(({ slot }) => nameOf(slot)));
  const uncertain = new Set(model.vifs.filter((vif) => vif.uncertain).map(({ slot }) => nameOf(slot)));
  const gone = (name: string | undefined): boolean =>
    name !== undefined && /^vif\d+\.\d+$/.test(name) && !there.has(name) && !uncertain.has(name);
  const addresses = new Set(model.vifs.filter(({ present }) => present).flatMap(addressesOf));
  const indexes = new Set(snapshot.links.map(({ index }) => index));
  return [
    ...snapshot.chains
      .filter(({ table, chain }) => table === 'netdev vifd' && gone(chain.split('_')[0]))
      .map(({ chain }) => `the chain ${chain} is left`),
    ...snapshot.sets.flatMap(({ table, set, elements }) =>
      elements
        .filter(({ comment }) => gone(comment))
        .map(({ comment }) => `${comment} is left in ${table} ${set}`),
    ),
    ...(snapshot.ports ?? [])
      .filter(({ owner }) => gone(owner))
      .map(({ name, owner }) => `the port ${name} of ${owner} is left`),
    ...Object.keys(snapshot.dhcp)
      .filter(gone)
      .map((name) => `dnsmasq's file of ${name} is left`),
    ...snapshot.proxies
      .filter(({ address }) => !addresses.has(address))
      .map(({ address }) => `the proxy entry ${address} is left`),
    ...snapshot.routes
      .filter(({ protocol, dev }) => protocol === ours.protocol && !indexes.has(dev))
      .map(({ to }) => `the route to ${to} is left`),
  ];
}

/** Exactly one DHCP server, where a vif needs one. */
function servers(model: Model, { dnsmasqs }: Snapshot): string[] {
  const needed = model.vifs.some((vif) => isConnected(vif) && vif.topology === 'nat');
  return dnsmasqs.length > 1 || (needed && dnsmasqs.length === 0) ? [`${dnsmasqs.length} dnsmasqs run`] : [];
}
