import {
  gatewayOf,
  guestOf,
  holdsAddress,
  isConnected,
  isRouted,
  type Model,
  macOf,
  nameOf,
  type VifModel,
} from './model.js';
import { isUp, type Link, linkOf, type Snapshot } from './snapshot.js';

/** The protocol number of the daemon's routes, and the table they are in. */
const ours = { protocol: 120, table: 254, metric: 2 };
const policyDrop = 0;

/** What is not on the host as it should be, as sentences; empty when all is. Nothing is said of what is uncertain. */
export function unmet(model: Model, snapshot: Snapshot): string[] {
  return [
    ...model.vifs.flatMap((vif) => {
      if (!vif.present || vif.uncertain) return [];
      const lines = isConnected(vif) ? attached(vif, model, snapshot) : detached(vif, snapshot);
      return lines.map((line) => `${nameOf(vif.domid)} (${vif.topology}): ${line}`);
    }),
    ...tables(snapshot),
    ...leftovers(model, snapshot),
    ...servers(model, snapshot),
  ];
}

function attached(vif: VifModel, model: Model, snapshot: Snapshot): string[] {
  const link = linkOf(snapshot, vif.name);
  if (link === undefined) return [`there is no netdev ${vif.name}`];
  const own = nameOf(vif.domid);
  const lines: string[] = [];
  const must = (holds: boolean, line: string): void => {
    if (!holds) lines.push(line);
  };
  must(isUp(link), 'the netdev is down');
  must(link.mac === 'fe:ff:ff:ff:ff:ff', `the netdev has the address ${link.mac}`);
  must(vif.keys.mtu === undefined || link.mtu === vif.keys.mtu, `MTU ${link.mtu}, not ${vif.keys.mtu}`);
  must(vif.name === own || link.alias === own, `the alias is "${link.alias}"`);
  const master = snapshot.links.find(({ index }) => index === link.master)?.name;
  const bridge = vif.topology === 'bridge' ? vif.keys.bridge : undefined;
  must(master === bridge, `it is a port of ${master}, not of ${bridge}`);
  lines.push(...filter(vif, link, snapshot));
  if (isRouted(vif)) lines.push(...routing(vif, link, model, snapshot));
  else {
    must(
      !snapshot.routes.some(({ dev, protocol }) => dev === link.index && protocol === ours.protocol),
      'it has routes',
    );
  }
  const port = snapshot.ports?.find(({ name }) => name === vif.name);
  if (vif.topology === 'openvswitch' && snapshot.ports !== undefined) {
    const tag = vif.keys.bridge === 'ovsbr0.10' ? '10' : '["set",[]]';
    must(
      port?.bridge === 'ovsbr0' && port.tag === tag && port.owner === own,
      `its port is ${JSON.stringify(port)}`,
    );
  } else if (vif.topology !== 'openvswitch') {
    must(port === undefined, `it has a port ${JSON.stringify(port)}`);
  }
  return lines;
}

/** Whether a vif is held to its addresses. */
const isFiltered = (vif: VifModel): boolean =>
  isRouted(vif) || (vif.topology === 'bridge' && vif.keys.ip !== undefined);

function filter(vif: VifModel, link: Link, { chains, rules, sets }: Snapshot): string[] {
  const own = nameOf(vif.domid);
  const found = chains.filter(({ table, chain }) => table === 'netdev vifd' && chain.startsWith(`${own}_`));
  if (!isFiltered(vif))
    return found.map(({ chain }) => `it is not filtered, and there is the chain ${chain}`);
  const [chain, ...more] = found;
  if (chain === undefined) return ['it has no filter'];
  const of = rules.filter(({ table, chain: name }) => table === chain.table && name === chain.chain);
  const digests = new Set(of.map(({ comment }) => comment.split(' #')[1]));
  const elements = sets
    .filter(({ table }) => table === 'inet vifd')
    .flatMap(({ set, elements: those }) =>
      those.filter(({ comment }) => comment === own).map(({ key }) => `${set} ${key}`),
    );
  const index = Buffer.alloc(4);
  index.writeUInt32LE(link.index);
  const wanted = isRouted(vif)
    ? ['reverse', 'protected', ...(vif.topology === 'nat' ? ['dhcp'] : [])].map(
        (set) => `${set} ${index.toString('hex')}`,
      )
    : [];
  return [
    ...more.map((one) => `there is another chain, ${one.chain}`),
    ...(chain.devices.join() === link.name ? [] : [`the chain is on "${chain.devices}", not ${link.name}`]),
    ...(chain.policy === policyDrop ? [] : ['the policy of the chain is accept']),
    ...(of.length >= 10 && digests.size === 1
      ? []
      : [`the chain has other rules: ${of.map(({ comment }) => comment)}`]),
    ...(elements.sort().join() === wanted.sort().join()
      ? []
      : [`the router's elements are ${elements.join(', ')}, not ${wanted.join(', ')}`]),
  ];
}

function routing(vif: VifModel, link: Link, model: Model, snapshot: Snapshot): string[] {
  const { address, router } = guestOf(vif);
  const lines: string[] = [];
  const must = (holds: boolean, line: string): void => {
    if (!holds) lines.push(line);
  };
  const holds = holdsAddress(vif, model);
  const routes = snapshot.routes.filter(({ to, table }) => to === `${address}/32` && table === ours.table);
  const own = routes.filter(({ dev }) => dev === link.index);
  if (holds) {
    must(
      own.length === 1 && own[0]?.protocol === ours.protocol,
      `its route to ${address} is ${JSON.stringify(own)}`,
    );
    must(own.length === routes.length, `others have routes to ${address}: ${JSON.stringify(routes)}`);
    const neighbour = snapshot.neighbours.find((one) => one.dev === link.index && one.address === address);
    must(
      neighbour?.mac === macOf(vif.domid, vif.keys.othermac),
      `the neighbour ${address} is ${neighbour?.mac}`,
    );
  }
  const addresses = snapshot.addresses.filter(
    ({ dev, address: one }) => dev === link.index && !one.includes(':'),
  );
  must(
    addresses.map((one) => one.address).join() === `${router}/32`,
    `its addresses are ${addresses.map((one) => one.address)}, not ${router}/32`,
  );
  for (const key of ['forwarding', 'proxy_arp']) {
    must(snapshot.sysctls[`net/ipv4/conf/${link.name}/${key}`] === '1', `${key} is off`);
  }
  const proxies = snapshot.proxies.filter((proxy) => proxy.address === address).map(({ dev }) => dev);
  const at = (name: string | undefined): number | undefined =>
    snapshot.links.find((one) => one.name === name)?.index;
  if (vif.topology === 'route' && holds) {
    const gateway = gatewayOf(vif, model);
    const missing = gateway !== undefined && proxies.join() !== `${at(gateway)}`;
    // A device that is down forgets them.
    must(!missing || !model.uplinks[gateway].up, `${address} is answered for at ${proxies}, not ${gateway}`);
  }
  if (vif.topology === 'nat') {
    const wanted = model.defaultRoute === undefined ? [] : [elementOf(address, model.defaultRoute)];
    const found = snapshot.sets
      .filter(({ table }) => table === 'inet vifd-nat')
      .flatMap(({ elements }) =>
        elements.filter(({ comment }) => comment === nameOf(vif.domid)).map(({ key }) => key),
      );
    must(
      model.defaultRoute === undefined || found.join() === wanted.join(),
      `it is masqueraded as ${found}, not ${wanted}`,
    );
    must(snapshot.dhcp[nameOf(vif.domid)] !== undefined, 'dnsmasq has no file of it');
  }
  return lines;
}

/** The key of an element of `guests4`: the address, and the device's name, filled up. */
const elementOf = (address: string, device: string): string =>
  Buffer.concat([Buffer.from(address.split('.').map(Number)), Buffer.from(device.padEnd(16, '\0'))]).toString(
    'hex',
  );

/** Off the network: nothing comes in or goes out, and nothing is kept for it. */
function detached(vif: VifModel, snapshot: Snapshot): string[] {
  const own = nameOf(vif.domid);
  const link = linkOf(snapshot, vif.name);
  const lines: string[] = [];
  // One that only waits for Open vSwitch to take its port is ready otherwise.
  if (vif.status === 'pending' && vif.topology === 'openvswitch') return [];
  if (link !== undefined) {
    if (isUp(link)) lines.push('it is not connected, and its netdev is up');
    if (link.master !== 0) lines.push('it is not connected, and a port of a bridge');
    if (snapshot.routes.some(({ dev, protocol }) => dev === link.index && protocol === ours.protocol)) {
      lines.push('it is not connected, and has routes');
    }
  }
  const masqueraded = snapshot.sets.some(
    ({ table, elements }) => table === 'inet vifd-nat' && elements.some(({ comment }) => comment === own),
  );
  if (masqueraded) lines.push('it is not connected, and masqueraded');
  if (snapshot.ports?.some(({ owner }) => owner === own)) {
    lines.push('it is not connected, and has a port in Open vSwitch');
  }
  return lines;
}

function tables({ tables: all, rules }: Snapshot): string[] {
  const dormant = all.filter(({ table, dormant: off }) => off && /^(netdev|inet) vifd(-nat)?$/.test(table));
  // A chain of others in our table is theirs; a rule of others in a chain of ours is not.
  const foreign = rules.filter(
    ({ table, chain, comment }) =>
      /^(netdev|inet) vifd(-nat)?$/.test(table) && chain !== 'mine' && comment === 'mine',
  );
  return [
    ...dormant.map(({ table }) => `table ${table} is dormant`),
    ...foreign.map(({ table, chain }) => `chain ${table} ${chain} has a rule of others`),
  ];
}

function leftovers(model: Model, snapshot: Snapshot): string[] {
  const there = new Set(model.vifs.filter(({ present }) => present).map(({ domid }) => nameOf(domid)));
  const uncertain = new Set(model.vifs.filter((vif) => vif.uncertain).map(({ domid }) => nameOf(domid)));
  const gone = (name: string | undefined): boolean =>
    name !== undefined && /^vif\d+\.\d+$/.test(name) && !there.has(name) && !uncertain.has(name);
  const addresses = new Set(model.vifs.filter(({ present }) => present).map((vif) => guestOf(vif).address));
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
      .filter(({ address }) => !address.includes(':') && !addresses.has(address))
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
