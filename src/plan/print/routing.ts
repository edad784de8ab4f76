import type { IpAction } from '../../model/action.js';
import { formatNetwork } from '../../model/address.js';
import { ourMetric, ourProtocol } from '../../model/routing.js';

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
    case 'set-dhcp':
      return `tell dnsmasq of ${action.vif}: ${action.entry.split('\n')[0]}`;
    case 'delete-dhcp':
      return `tell dnsmasq to forget ${action.vif}`;
  }
}
