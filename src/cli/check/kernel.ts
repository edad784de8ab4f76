import { isConnected } from '../../model/snapshot.js';
import { traitsOf } from '../../model/topology-name.js';
import { vifName } from '../../model/vif-id.js';
import type { Decided } from './decided.js';
import type { Facts } from './facts.js';
import { type Finding, ok, warning } from './finding.js';

/** Whether bridged frames pass iptables, and whether IPv6 is off where vifs have it. */
export function aboutKernel({ sysctls, xenstore }: Facts): Finding[] {
  const vifs = 'reason' in xenstore ? [] : xenstore.vifs;
  const filtered = ['iptables', 'ip6tables'].filter(
    (one) => sysctls[`net.bridge.bridge-nf-call-${one}`] === '1',
  );
  const ipv6Off = (sysctls['net.ipv6.conf.all.disable_ipv6'] ?? '1') === '1';
  const withIpv6 = vifs.filter(({ ip }) => ip.some(({ family }) => family === 6));
  return [
    ...(filtered.length > 0
      ? [
          warning(
            'br_netfilter',
            `bridged frames pass the FORWARD chains of ${filtered.join(' and ')} too`,
            `sysctl -w ${filtered.map((one) => `net.bridge.bridge-nf-call-${one}=0`).join(' ')}, unless your rules mean it`,
          ),
        ]
      : []),
    ...(ipv6Off && withIpv6.length > 0
      ? [
          warning(
            'ipv6',
            `it is off here, but ${withIpv6.map(({ id }) => vifName(id)).join(', ')} has IPv6 addresses`,
            'sysctl -w net.ipv6.conf.all.disable_ipv6=0',
          ),
        ]
      : []),
  ];
}

/** Whether the devices forward that vifd routes between. vifd turns it on; another program may have turned it off. */
export function aboutForwarding(
  decided: readonly Decided[],
  { links, forwarding, sysctls }: Facts,
): Finding[] {
  const routed = decided
    .filter(({ topology }) => traitsOf(topology)?.isRouted)
    .map(({ vif }) => vif)
    .filter(isConnected);
  if (routed.length === 0) return [];
  const devices = [...routed.map(({ id }) => links.ofVif(id)?.name), forwarding.uplink];
  const names = [
    ...devices.filter((name) => name !== undefined && forwarding.off.has(name)),
    ...(routed.some(({ ip }) => ip.some(({ family }) => family === 6)) &&
    sysctls['net.ipv6.conf.all.forwarding'] === '0'
      ? ['IPv6']
      : []),
  ];
  return names.length === 0
    ? [ok('forwarding', 'on for routed vifs and their way out')]
    : [
        warning(
          'forwarding',
          `off for ${names.join(', ')}, though ${routed.map(({ id }) => vifName(id)).join(', ')} are routed`,
          'start vifd, which turns it on again and keeps it so; look for ip_forward and forwarding in /etc/sysctl.d and /etc/systemd/network',
        ),
      ];
}
