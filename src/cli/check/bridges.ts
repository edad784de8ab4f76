import { vifOfLink } from '../../model/observed.js';
import { vifName } from '../../model/vif-id.js';
import type { Facts } from './facts.js';
import { error, type Finding, note, ok } from './finding.js';

/** Whether the bridges that vifs ask for are there, filter VLANs, and lead anywhere. */
export function aboutBridges({ links, xenstore }: Facts): Finding[] {
  const bridges = [...links.all()].filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  const wanted =
    'reason' in xenstore ? [] : xenstore.vifs.filter(({ script }) => script?.endsWith('/vif-bridge'));
  const unfiltered = wanted.filter(({ bridge, vlans }) => {
    const link = bridge === undefined ? undefined : links.byName(bridge);
    return vlans !== undefined && link !== undefined && link.vlanFiltering !== true;
  });
  const missing = wanted.filter(({ bridge }) => bridge !== undefined && links.byName(bridge) === undefined);
  return [
    bridges.length > 0
      ? ok('bridges', bridges.join(', '))
      : note('bridges', 'there is none', 'vifs with vif-bridge need one: ip link add xenbr0 up type bridge'),
    ...unfiltered.map(({ id, bridge }) =>
      error(
        'vlan_filtering',
        `${vifName(id)} has VLANs, but its bridge ${bridge} does not filter them`,
        `ip link set dev ${bridge} type bridge vlan_filtering 1, or remove vlan= from the guest's configuration`,
      ),
    ),
    ...missing.map(({ id, bridge }) =>
      error(
        'bridges',
        `${vifName(id)} waits for bridge ${bridge}`,
        `ip link add ${bridge} up type bridge, or correct bridge= in the guest's configuration`,
      ),
    ),
    ...secluded(links, wanted).map((bridge) =>
      note(
        'bridges',
        `${bridge} has no port but vifs: its guests reach each other and nothing beyond`,
        `ip link set UPLINK up master ${bridge}, and see that the program which configures the uplink does so when it comes back; nothing, if the bridge is meant to be so`,
      ),
    ),
  ];
}

/** The names of the bridges that vifs are to be on and that have no other port. */
function secluded(links: Facts['links'], vifs: readonly { readonly bridge: string | undefined }[]): string[] {
  const ports = [...links.all()].filter((link) => vifOfLink(link) === undefined);
  const connected = new Set(ports.map(({ master }) => master));
  return [...new Set(vifs.map(({ bridge }) => bridge))].filter((name): name is string => {
    const link = name === undefined ? undefined : links.byName(name);
    return link?.kind === 'bridge' && !connected.has(link.index);
  });
}
