import type { Domnet, Vif } from './domnet.js';
import type { OpenVswitch } from './openvswitch.js';

/**
 * The state of a host and of xenstore: objects such as `link vif5.0`, each with its attributes, such as `mtu` → `1500`;
 * an object with a single value has it under the empty name. Left out is what differs by run (the kernel's indexes,
 * timers, counters, uuids, random addresses), and what follows from other attributes.
 */
export type HostState = ReadonlyMap<string, ReadonlyMap<string, string>>;

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Row = { [key: string]: Json };
type Things = [thing: string, attributes: Map<string, string>][];

const omitted = {
  link: new Set([
    ...['ifindex', 'link', 'link_index', 'link_netnsid'],
    // `bridge -d link` has the attributes of a port.
    ...['info_slave_data', 'info_slave_kind'],
    // These follow from whether it is up and has a master; for a bridge from its ports.
    ...['operstate', 'qdisc', 'promiscuity', 'allmulti', 'tso_max_size'],
    ...['hello_timer', 'tcn_timer', 'topology_change_timer', 'gc_timer'],
  ]),
  /** Attributes that `ip link` has too. */
  bridgePort: new Set(['ifindex', 'link', 'flags', 'mtu', 'master']),
  port: new Set(['_uuid', 'interfaces', 'name', 'statistics', 'status', 'rstp_statistics', 'rstp_status']),
  /** Columns that ovs-vswitchd copies from the netdev, or measures. */
  interface: new Set([
    ...['_uuid', 'name', 'ifindex', 'mac_in_use', 'mtu', 'admin_state', 'link_state'],
    ...['link_resets', 'link_speed', 'duplex', 'statistics', 'status'],
  ]),
};

/**
 * The state of the host of a driver domain, of its xenstore, and of Open vSwitch's database where there is one.
 * @param netdev the name of the vif's netdev, which is `VIF` in the names of objects
 */
export async function hostState(
  domnet: Domnet,
  vif: Vif,
  netdev: string,
  ovs?: OpenVswitch,
): Promise<HostState> {
  const things = await Promise.all([
    links(domnet),
    addresses(domnet),
    routes(domnet),
    neighbours(domnet),
    bridges(domnet),
    sysctls(domnet),
    nftables(domnet),
    xenstore(domnet, vif),
    ...(ovs === undefined ? [] : [openvswitch(ovs)]),
  ]);
  const named = (name: string): string => {
    if (name.startsWith('xenstore ')) return name;
    return name
      .split(/([ /])/)
      .map((word) => (word === netdev ? 'VIF' : word))
      .join('');
  };
  return new Map(things.flat().map(([name, values]) => [named(name), values]));
}

const rows = async (domnet: Domnet, file: string, command: string): Promise<Row[]> =>
  JSON.parse((await domnet.exec(file, command.split(' '))) || '[]') as Row[];

const kindOf = ({ linkinfo }: Row): Json | undefined => (linkinfo as Row | undefined)?.info_kind;

async function links(domnet: Domnet): Promise<Things> {
  return (await rows(domnet, 'ip', '-d -j link show')).map((link) => {
    const { ifname, address, flags, ...rest } = link;
    // The carrier depends on the other end. Devices of Open vSwitch's bridges have random addresses.
    const own = (flags as string[]).filter((flag) => !['LOWER_UP', 'NO-CARRIER', 'PROMISC'].includes(flag));
    const shown = { ...rest, flags: own, ...(kindOf(link) === 'tun' ? {} : { address }) };
    return [`link ${ifname}`, attributes(shown as Row, omitted.link)];
  });
}

/** Whether an address is the link-local one that the kernel gives each device that is up. */
const isMadeByKernel = (address: Json | undefined): boolean => /^fe80::.*ff:fe/.test(String(address));

async function addresses(domnet: Domnet): Promise<Things> {
  return (await rows(domnet, 'ip', '-j address show')).flatMap(({ ifname, addr_info }) =>
    (addr_info as Row[])
      .filter(({ local }) => !isMadeByKernel(local))
      .map(({ local, prefixlen, ...rest }) =>
        thing(`address ${ifname} ${local}/${prefixlen}`, fields(rest, 'scope broadcast noprefixroute')),
      ),
  );
}

/** All routes but those that the kernel makes for each address. */
async function routes(domnet: Domnet): Promise<Things> {
  const families = ['-4', '-6'].map((family) => rows(domnet, 'ip', `${family} -d -j route show table all`));
  return (await Promise.all(families))
    .flat()
    .filter(({ protocol }) => protocol !== 'kernel')
    .map((route) =>
      thing(
        `route ${route.type === 'unicast' ? '' : `${route.type} `}${route.dst} dev ${route.dev}`,
        fields(route, 'table protocol scope prefsrc metric gateway'),
      ),
    );
}

/** The permanent and proxy entries; the others depend on traffic. */
async function neighbours(domnet: Domnet): Promise<Things> {
  const set = await rows(domnet, 'ip', '-j neigh show nud permanent');
  const proxies = await rows(domnet, 'ip', '-j neigh show proxy');
  return [
    ...set.map(({ dst, dev, lladdr }) => thing(`neighbour ${dst} dev ${dev}`, `${lladdr}`)),
    ...proxies.map(({ dst, dev }) => thing(`neighbour proxy ${dst} dev ${dev}`, 'there')),
  ];
}

async function bridges(domnet: Domnet): Promise<Things> {
  const ports = await rows(domnet, 'bridge', '-d -j link show');
  const vlans = await rows(domnet, 'bridge', '-j vlan show');
  return [
    ...ports.map(({ ifname, ...port }): Things[number] => [
      `bridge port ${ifname}`,
      attributes(port, omitted.bridgePort),
    ]),
    ...vlans.map((port) => thing(`VLANs of bridge port ${port.ifname}`, JSON.stringify(port.vlans))),
  ];
}

/** The IP sysctls of each device, and forwarding. */
async function sysctls(domnet: Domnet): Promise<Things> {
  const trees = 'ipv4/conf ipv6/conf ipv4/neigh ipv6/neigh ipv4/ip_forward';
  // An unset stable_secret cannot be read, and grep exits with an error then.
  const output = await domnet.exec('sh', ['-c', `cd /proc/sys/net && grep -rs . ${trees} || :`]);
  return (
    output
      .split('\n')
      // These follow from the device's MTU, and from `all`.
      .filter((line) => line !== '' && !/^ipv6\/conf\/([^:]+\/mtu|(default|lo)\/forwarding):/.test(line))
      .map((line) => {
        // A device's name may have a colon; of the values only addresses do.
        const [, name = '', value = ''] = /^(\S+?):(.*)$/.exec(line) ?? [];
        return thing(`sysctl net/${name}`, value);
      })
  );
}

/**
 * Each table with its base chains, and its sets that have elements, except counters. Some names contain the netdev's
 * index.
 */
async function nftables(domnet: Domnet): Promise<Things> {
  const { nftables: objects } = JSON.parse(await domnet.exec('nft', ['-j', 'list', 'ruleset'])) as {
    nftables: Record<string, Row>[];
  };
  return objects.flatMap(({ table }) => {
    if (table === undefined) return [];
    const content = objects.flatMap(({ table: _, ...object }) => {
      const [[kind, row] = ['', {}]] = Object.entries(object);
      const counts =
        kind === 'chain' ? row.hook !== undefined : row.elem !== undefined && row.name !== 'drops';
      if (row.family !== table.family || row.table !== table.name || kind === 'rule' || !counts) return [];
      return [`${kind} ${String(row.name).replace(/_\d+$/, '_<ifindex>')}`];
    });
    return [thing(`nft table ${table.family} ${table.name}`, content.join(', '))];
  });
}

async function openvswitch(ovs: OpenVswitch): Promise<Things> {
  const tables = (['Port', 'Interface'] as const).map(async (table): Promise<Things> => {
    const { headings, data } = JSON.parse(await ovs.vsctl(`--format=json list ${table}`)) as {
      headings: string[];
      data: Json[][];
    };
    return data.map((cells) => {
      const row: Row = Object.fromEntries(headings.map((heading, i) => [heading, plain(cells[i] as Json)]));
      const ids = row.external_ids as Row;
      if (ids['vifd-ifindex'] !== undefined) ids['vifd-ifindex'] = '<ifindex>';
      return [
        `OVS ${table} ${row.name}`,
        attributes(row, table === 'Port' ? omitted.port : omitted.interface),
      ];
    });
  });
  return (await Promise.all(tables)).flat();
}

/** The value of a cell of the database (RFC 7047, 5.1) without its tags. */
function plain(cell: Json): Json {
  if (!Array.isArray(cell)) return cell;
  const [kind, content] = cell as [string, Json[]];
  if (kind === 'map') return Object.fromEntries(content as [string, Json][]);
  return kind === 'set' ? content.map(plain) : '<uuid>';
}

/** The nodes of xenstore: `backend …` and `frontend …` in the vif's directories, others by their paths. */
async function xenstore(domnet: Domnet, vif: Vif): Promise<Things> {
  const things: Things = [];
  const walk = async (path: string): Promise<void> => {
    for (const name of await domnet.xenstore.directory(path)) {
      const child = `${path}/${name}`;
      const value = await domnet.xenstore.read(child);
      const shown = child
        .replace(`/local/domain/0/${vif.backend}/`, 'backend ')
        .replace(`${vif.frontend}/`, 'frontend ');
      // Directories have empty values.
      if (value !== '' || shown.includes(' ')) things.push(thing(`xenstore ${shown}`, value));
      await walk(child);
    }
  };
  await walk('/local');
  return things;
}

const thing = (name: string, value: string): Things[number] => [name, new Map([['', value]])];

/** The leaves of a row, named by their paths; a list is one leaf, and none when it is empty. */
function attributes(row: Row, without: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (path: string[], value: Json): void => {
    if (Array.isArray(value)) {
      if (value.length > 0) found.set(path.join(' '), value.map(String).join(', '));
    } else if (value !== null && typeof value === 'object') {
      for (const [key, child] of Object.entries(value)) {
        if (!without.has(key)) walk([...path, key], child);
      }
    } else {
      found.set(path.join(' '), String(value));
    }
  };
  walk([], row);
  return found;
}

/** The fields of a row with these names, in this order, as text. */
const fields = (row: Row, names: string): string =>
  names
    .split(' ')
    .flatMap((name) => (row[name] === undefined ? [] : [`${name} ${row[name]}`]))
    .join(' ');
