import { type Action, type ActionTable, byKind } from '../../model/action.js';
import { addressLines } from './address.js';
import { bridgePortLines } from './bridge-port.js';
import { conntrackCommands, conntrackLines } from './conntrack.js';
import { deleteDhcpCommands, dhcpLines, setDhcpCommands } from './dhcp.js';
import { linkLines } from './link.js';
import { namedSetLines } from './named-set.js';
import { neighbourLines } from './neighbour.js';
import { nameNftAction, nftLines, nftTransaction } from './nft.js';
import { offloadLines } from './offload.js';
import { forDatabase, ovsPortLines } from './ovs-port.js';
import { announceCommands, proxyLines } from './proxy.js';
import { routeLines } from './route.js';
import { scriptLines } from './script.js';
import { sysctlLines } from './sysctl.js';

/** Where things are on the machine that commands have to name. */
export interface Places {
  /** Open vSwitch's database, as ovs-vsctl's `--db` takes it. */
  readonly ovsDatabase: string;
  /** The directory of dnsmasq's files. */
  readonly dhcpDirectory: string;
}

const lines: ActionTable<string> = {
  ...linkLines,
  ...addressLines,
  ...bridgePortLines,
  ...offloadLines,
  ...routeLines,
  ...neighbourLines,
  ...proxyLines,
  ...sysctlLines,
  ...conntrackLines,
  ...dhcpLines,
  ...nftLines,
  ...namedSetLines,
  ...ovsPortLines,
  ...scriptLines,
};

/** An action in one line, for the log: the command an administrator would type, shortened where it is long. */
export const printAction = (action: Action): string => byKind(lines, action);

/** An action as commands to be pasted into `sh`, nothing left out. Without a newline at the end. */
export function printCommands(action: Action, { ovsDatabase, dhcpDirectory }: Places): string {
  const ovs = (of: Action): string => forDatabase(printAction(of), ovsDatabase);
  return byKind(
    {
      ...lines,
      nft: nftTransaction,
      'forget-connections': conntrackCommands,
      announce: announceCommands,
      'set-dhcp': (of) => setDhcpCommands(of, dhcpDirectory),
      'delete-dhcp': (of) => deleteDhcpCommands(of, dhcpDirectory),
      'ovs-add-port': ovs,
      'ovs-set-port': ovs,
      'ovs-pin-mtu': ovs,
      'ovs-delete-port': ovs,
      'ovs-delete-note': ovs,
    },
    action,
  );
}

/** An action in one line, as errors name it: a transaction of nf_tables by one of its commands. */
export const nameAction = (action: Action): string =>
  action.kind === 'nft' ? nameNftAction(action) : printAction(action);
