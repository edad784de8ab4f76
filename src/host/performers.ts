import type { ActionKind, ActionTable, OvsAction } from '../model/action.js';
import type { ErrorCode } from '../model/error-codes.js';
import type { Announcer } from './announcer.js';
import type { Dnsmasq } from './dhcp/dnsmasq.js';
import type { Resolvers } from './dhcp/resolvers.js';
import type { Conntrack } from './netfilter/conntrack.js';
import type { Firewall } from './netfilter/firewall.js';
import type { NamedSetMirror } from './netfilter/named-sets.js';
import type { NftTables } from './netfilter/tables.js';
import type { Offloads } from './offload.js';
import type { OpenVswitch } from './ovsdb/openvswitch.js';
import type { Scripts } from './process/scripts.js';
import type { Links } from './rtnetlink/links.js';
import { writeSysctl } from './sysctl.js';

/** The parts of the machine that actions change. */
export interface Parts {
  readonly links: Links;
  readonly announcer: Announcer;
  readonly offloads: Offloads;
  readonly nft: NftTables;
  readonly namedSets: NamedSetMirror;
  readonly conntrack: Conntrack;
  readonly firewall: Firewall;
  /** Whether vifs are served, and not only looked at. */
  readonly serves: boolean;
  readonly dnsmasq: Dnsmasq;
  readonly resolvers: Resolvers;
  readonly openvswitch: OpenVswitch | undefined;
  readonly scripts: Scripts | undefined;
}

/** What performs each kind of action. */
export function performers(parts: Parts): ActionTable<Promise<void> | void> {
  const { links, announcer, offloads, nft, namedSets, conntrack, dnsmasq, openvswitch, scripts } = parts;
  const ovs = (action: OvsAction) => openvswitch?.perform(action);
  return {
    'set-link': ({ index, name, changes }) => links.link.change(index, name, changes),
    'pin-mtu': ({ index, mtu }) => links.link.pinMtu(index, mtu),
    'set-port': ({ index, flags }) => links.port.set(index, flags),
    'add-vlans': ({ index, vlans }) => links.port.addVlans(index, vlans),
    'delete-vlans': ({ index, vlans }) => links.port.deleteVlans(index, vlans),
    'set-offload': ({ index, name, offload }) => offloads.set(index, name, offload, links.view),
    'add-address': ({ index, address }) => links.address.add(index, address),
    'delete-address': ({ index, address }) => links.address.delete(index, address),
    'set-route': ({ index, route }) => links.route.set(index, route),
    'delete-route': ({ index, to }) => links.route.delete(index, to),
    'set-neighbour': ({ index, address, mac }) => links.neighbour.set(index, address, mac),
    'delete-neighbour': ({ index, address }) => links.neighbour.delete(index, address),
    'set-proxy': ({ index, address, owner }) => links.proxy.set(index, address, owner),
    'delete-proxy': ({ index, address, owner }) => links.proxy.delete(index, address, owner),
    announce: (action) => announcer.announce(action),
    'set-sysctl': ({ sysctl }) => writeSysctl(sysctl),
    'forget-connections': (action) => conntrack.forget(action),
    'set-dhcp': ({ vif, entry }) => dnsmasq.set(vif, entry),
    'delete-dhcp': ({ vif }) => dnsmasq.delete(vif),
    nft: (action) => nft.perform(action),
    'add-to-set': (action) => namedSets.perform(action),
    'delete-from-set': (action) => namedSets.perform(action),
    'ovs-add-port': ovs,
    'ovs-set-port': ovs,
    'ovs-pin-mtu': ovs,
    'ovs-delete-port': ovs,
    'ovs-delete-note': ovs,
    'run-script': ({ id, script }) => scripts?.start(id, script),
    'adopt-script': ({ id, script }) => scripts?.adopt(id, script),
    'undo-script': ({ id }) => scripts?.undo(id),
  };
}

/** What the error is called when an action of a kind fails. */
export const errorCodes: { readonly [Kind in ActionKind]: ErrorCode } = {
  'set-link': 'change-refused',
  'pin-mtu': 'change-refused',
  'set-port': 'change-refused',
  'add-vlans': 'change-refused',
  'delete-vlans': 'change-refused',
  'set-offload': 'change-refused',
  'add-address': 'change-refused',
  'delete-address': 'change-refused',
  'set-route': 'change-refused',
  'delete-route': 'change-refused',
  'set-neighbour': 'change-refused',
  'delete-neighbour': 'change-refused',
  'set-proxy': 'change-refused',
  'delete-proxy': 'change-refused',
  announce: 'change-refused',
  'set-sysctl': 'change-refused',
  'forget-connections': 'change-refused',
  'set-dhcp': 'dhcp-refused',
  'delete-dhcp': 'dhcp-refused',
  nft: 'filter-refused',
  'add-to-set': 'filter-refused',
  'delete-from-set': 'filter-refused',
  'ovs-add-port': 'openvswitch-refused',
  'ovs-set-port': 'openvswitch-refused',
  'ovs-pin-mtu': 'openvswitch-refused',
  'ovs-delete-port': 'openvswitch-refused',
  'ovs-delete-note': 'openvswitch-refused',
  'run-script': 'script-failed',
  'adopt-script': 'script-failed',
  'undo-script': 'script-failed',
};
