import type { Config } from '../../config/config.js';
import { vifOfLink } from '../../model/observed.js';
import type { TopologyName } from '../../model/topology-name.js';
import { decidedVifs } from './decided.js';
import type { Facts } from './facts.js';
import { type Finding, note } from './finding.js';
import type { IpLink } from './way/facts.js';

/**
 * The bridges that have an address of this domain's and guests: where `protect_host` is not set a frame for the bridge itself
 * passes no rule of vifd's at input, so every guest on it reaches what listens there, held or not.
 */
export function aboutOpenBridges(facts: Facts, config: Config | { readonly reason: string }): Finding[] {
  const known = 'reason' in config ? undefined : config;
  const decided = decidedVifs(facts, config);
  const asked = (name: TopologyName): ReadonlySet<string | undefined> =>
    new Set(decided.filter(({ topology }) => topology === name).map(({ bridge }) => bridge));
  return [
    ...(known?.bridge.protectHost ? [] : linuxBridges(facts, asked('bridge'))),
    ...(known?.openvswitch.protectHost ? [] : switches(facts, asked('openvswitch'))),
  ];
}

const addressesOf = (device: IpLink): string[] =>
  (device.addr_info ?? []).flatMap(({ local, prefixlen }) =>
    local === undefined ? [] : [`${local}/${prefixlen}`],
  );

/** That guests reach this domain at a device, where it has an address. */
function open(device: IpLink, of: string, how: string): Finding[] {
  const addresses = addressesOf(device);
  if (addresses.length === 0) return [];
  const { ifname } = device;
  const where = ifname === of ? ifname : `${ifname}, on ${of},`;
  return [
    note(
      'open bridge',
      `${where} has ${addresses.join(' ')}: every guest on it, held or not, reaches all services of this domain there`,
      `where this domain needs no address there: ip address flush dev ${ifname}; sysctl -w net.ipv6.conf.${ifname.replaceAll('.', '/')}.disable_ipv6=1. Else ${how}`,
    ),
  ];
}

function linuxBridges({ links, devices = [] }: Facts, wanted: ReadonlySet<string | undefined>): Finding[] {
  const all = [...links.all()];
  const masters = new Set(all.filter(vifOfLink).map(({ master }) => master));
  const bridges = all.filter(
    ({ kind, index, name }) => kind === 'bridge' && (masters.has(index) || wanted.has(name)),
  );
  return bridges.flatMap(({ name, index }) => {
    const renamed = all.filter(
      (link) => link.master === index && vifOfLink(link) && !link.name.startsWith('vif'),
    );
    const drops = ['vif*', ...renamed.map((link) => link.name)].map(
      (from) => `add rule bridge host input iifname "${from}" drop`,
    );
    // Of the bridge family, which knows the port; what comes by the uplink goes on to be taken.
    const how = `set protect_host = true in [bridge] of vifd.toml, or drop at input what guests send to it: nft 'add table bridge host; add chain bridge host input { type filter hook input priority 0; }; ${drops.join('; ')}', which goes for the guests of all bridges`;
    return devices
      .filter(({ ifname, link }) => ifname === name || link === name)
      .flatMap((device) => open(device, name, how));
  });
}

/** Open vSwitch's internal ports, one of which each bridge has by its own name. */
function switches(
  { links, devices = [], switches: all = [] }: Facts,
  wanted: ReadonlySet<string | undefined>,
): Finding[] {
  const isVif = (name: string): boolean => {
    const link = links.byName(name);
    return link !== undefined && vifOfLink(link) !== undefined;
  };
  return all
    .filter(({ bridge, ports }) => [bridge, ...ports].some((name) => isVif(name) || wanted.has(name)))
    .flatMap(({ bridge, ports }) =>
      devices
        .filter(
          ({ ifname, linkinfo }) =>
            ifname === bridge || (ports.includes(ifname) && linkinfo?.info_kind === 'openvswitch'),
        )
        .flatMap((device) =>
          open(
            device,
            bridge,
            `set protect_host = true in [openvswitch] of vifd.toml, or drop at input what guests send to it: nft 'add table inet host; add chain inet host input { type filter hook input priority 0; }; add rule inet host input iifname "${device.ifname}" ct state new drop', after rules that accept what is meant to be reached by it`,
          ),
        ),
    );
}
