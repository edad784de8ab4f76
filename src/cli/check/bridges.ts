import type { ErrorCode } from '../../model/error-codes.js';
import { vifOfLink } from '../../model/observed.js';
import { vifName } from '../../model/vif-id.js';
import type { Decided } from './decided.js';
import type { Facts } from './facts.js';
import { error, type Finding, note, ok } from './finding.js';

/** Whether the bridges that vifs ask for are there, filter VLANs, and lead anywhere. */
export function aboutBridges(decided: readonly Decided[], { links }: Facts): Finding[] {
  const bridges = [...links.all()].filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  const wanted = decided.filter(({ topology }) => topology === 'bridge');
  const isBridge = (name: string): boolean => links.byName(name)?.kind === 'bridge';
  const refused = (code: ErrorCode) =>
    wanted.flatMap(({ vif, problem }) =>
      problem?.code === code ? [{ name: vifName(vif.id), key: vif.bridge, problem }] : [],
    );
  const unfit = refused('bridge-unfit');
  const missing = refused('bridge-missing').filter(({ key }) => key !== undefined);
  return [
    bridges.length > 0
      ? ok('bridges', bridges.join(', '))
      : note('bridges', 'there is none', 'vifs with vif-bridge need one: ip link add xenbr0 up type bridge'),
    ...unfit.map(({ name, problem: { target, message } }) =>
      isBridge(target)
        ? error(
            'vlan_filtering',
            `${name} has VLANs, but its bridge ${target} does not filter them`,
            `ip link set dev ${target} type bridge vlan_filtering 1, or remove vlan= from the guest's configuration`,
          )
        : error('bridges', message, "correct bridge= in the guest's configuration"),
    ),
    ...missing.map(({ name, problem: { target } }) =>
      error(
        'bridges',
        `${name} waits for bridge ${target}`,
        `ip link add ${target} up type bridge, or correct bridge= in the guest's configuration`,
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
function secluded(links: Facts['links'], vifs: readonly Pick<Decided, 'bridge'>[]): string[] {
  const ports = [...links.all()].filter((link) => vifOfLink(link) === undefined);
  const connected = new Set(ports.map(({ master }) => master));
  return [...new Set(vifs.map(({ bridge }) => bridge))].filter((name): name is string => {
    const link = name === undefined ? undefined : links.byName(name);
    return link?.kind === 'bridge' && !connected.has(link.index);
  });
}
