import { formatNetwork, type Network } from './address.js';
import { type Masquerade, ourMetric, ourProtocol } from './ip.js';
import type { IpAction } from './plan-ip.js';

/** The table of nftables the masqueraded addresses are in. */
export const natTable = 'inet vifd-nat';

/** An action as the command an administrator would type for it. */
export function printIpAction(action: IpAction): string {
  switch (action.kind) {
    case 'add-address':
      return `ip address add ${formatNetwork(action.address)} dev ${action.name}`;
    case 'delete-address':
      return `ip address delete ${formatNetwork(action.address)} dev ${action.name}`;
    case 'set-route': {
      const { to, source } = action.route;
      const src = source === undefined ? '' : ` src ${source}`;
      return `ip route replace ${formatNetwork(to)} dev ${action.name}${src} proto ${ourProtocol} metric ${ourMetric}`;
    }
    case 'delete-route':
      return `ip route delete ${formatNetwork(action.to)} dev ${action.name} proto ${ourProtocol} metric ${ourMetric}`;
    case 'set-neighbour':
      return `ip neighbour replace ${action.address.address} lladdr ${action.mac} dev ${action.name} nud permanent protocol ${ourProtocol}`;
    case 'delete-neighbour':
      return `ip neighbour delete ${action.address.address} dev ${action.name}`;
    case 'set-proxy':
      return `ip neighbour replace proxy ${action.address.address} dev ${action.name} protocol ${ourProtocol}`;
    case 'delete-proxy':
      return `ip neighbour delete proxy ${action.address.address} dev ${action.name}`;
    case 'set-sysctl':
      return `sysctl -w ${action.sysctl.name}=${action.sysctl.value}`;
    case 'forget-connections':
      return `conntrack -D, whatever is of ${formatNetwork(action.network)}`;
    case 'set-masquerade': {
      const { address, before, after } = action;
      const gone = before === undefined ? '' : `; ${printElement('delete', address, before)}`;
      return `nft ${printElement('add', address, after)}${gone}`;
    }
    case 'delete-masquerade':
      return `nft ${printElement('delete', action.address, action.before)}`;
    case 'set-dhcp':
      return `tell dnsmasq of ${action.vif}: ${action.entry.split('\n')[0]}`;
    case 'delete-dhcp':
      return `tell dnsmasq to forget ${action.vif}`;
  }
}

/** The command for an element of the set of masqueraded addresses, as nft takes it. */
export function printElement(
  verb: 'add' | 'delete',
  { family, address }: Network,
  { owner, uplink }: Masquerade,
): string {
  const comment = verb === 'add' ? ` comment "${owner}"` : '';
  return `${verb} element ${natTable} guests${family} { ${address} . "${uplink}"${comment} }`;
}
