import type { Config } from '../../config/config.js';
import type { TopologyName } from '../../model/topology-name.js';
import { vifName } from '../../model/vif-id.js';
import type { Decided } from './decided.js';
import type { Facts } from './facts.js';
import { error, type Finding, note } from './finding.js';

/** Whether the programs are there that the topologies of the vifs need. */
export function aboutTopologies(
  decided: readonly Decided[],
  { programs, openvswitch }: Facts,
  config: Config | { readonly reason: string },
): Finding[] {
  const users = (name: TopologyName): string =>
    decided
      .filter(({ topology }) => topology === name)
      .map(({ vif }) => vifName(vif.id))
      .join(', ');
  const [nat, route, ovs] = [users('nat'), users('route'), users('openvswitch')];
  const isPromised = (topology: 'nat' | 'route'): boolean =>
    !('reason' in config) && (config[topology].dhcp === 'dnsmasq' || config[topology].routerAdvertisements);
  const [dhcp, dhcpOfRouted] = [isPromised('nat'), isPromised('route')];
  return [
    ...(nat !== '' && !programs.dnsmasq
      ? [
          dhcp
            ? error(
                'dnsmasq',
                `not installed, so ${nat} cannot get addresses by DHCP, which the configuration promises`,
                'apt install dnsmasq-base',
              )
            : note(
                'dnsmasq',
                `not installed, so ${nat} cannot get addresses by DHCP`,
                'apt install dnsmasq-base, and set [nat] dhcp = "dnsmasq"',
              ),
        ]
      : []),
    ...(route !== '' && dhcpOfRouted && !programs.dnsmasq
      ? [
          error(
            'dnsmasq',
            `not installed, so ${route} cannot get addresses by DHCP, which the configuration promises`,
            'apt install dnsmasq-base',
          ),
        ]
      : []),
    ...(ovs !== '' && !openvswitch
      ? [
          error(
            'openvswitch',
            `${ovs} waits for Open vSwitch, whose database does not answer`,
            'systemctl start openvswitch-switch, or correct [openvswitch] database',
          ),
        ]
      : []),
  ];
}
