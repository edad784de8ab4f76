import type { ActionOf, ActionTable } from '../../model/action.js';
import { splitEntry } from '../../model/dhcp-entry.js';
import { word } from './word.js';

export const dhcpLines: ActionTable<string, 'set-dhcp' | 'delete-dhcp'> = {
  'set-dhcp': ({ vif, entry }) => `tell dnsmasq of ${vif}: ${entry.split('\n')[0]}`,
  'delete-dhcp': ({ vif }) => `tell dnsmasq to forget ${vif}`,
};

/**
 * The commands that write what dnsmasq reads of a vif.
 * @param directory the one that dnsmasq's files are in
 */
export function setDhcpCommands({ vif, entry }: ActionOf<'set-dhcp'>, directory: string): string {
  const { host, options } = splitEntry(entry);
  // dnsmasq gives up root before it reads them. The options come first: the host's line is what lets the guest have a lease.
  const write = (kind: string, text: string): string =>
    `(umask 022; cat >${word(`${directory}/${kind}/${vif}`)}) <<'END'\n${text}END`;
  return [
    '# dnsmasq, which vifd starts, reads a new file at once, and a changed one at SIGHUP.',
    `(umask 022; mkdir -p ${['options', 'hosts'].map((kind) => word(`${directory}/${kind}`)).join(' ')})`,
    write('options', options),
    write('hosts', host),
  ].join('\n');
}

/** The commands that delete it. */
export const deleteDhcpCommands = ({ vif }: ActionOf<'delete-dhcp'>, directory: string): string =>
  [
    '# dnsmasq, which vifd starts, remembers what it has read until SIGHUP.',
    `rm -f ${['hosts', 'options'].map((kind) => word(`${directory}/${kind}/${vif}`)).join(' ')}`,
  ].join('\n');
