import type { Config } from '../../config/config.js';
import { vifOfLink } from '../../model/observed.js';
import { aheadOf } from './ahead.js';
import type { Facts } from './facts.js';
import { error, type Finding, note, ok } from './finding.js';

/** Whether anti-spoofing filters can be installed. */
export function aboutFilters({ nft }: Facts, config: Config | { readonly reason: string }): Finding[] {
  if (nft === undefined) return [ok('nft', 'takes filters')];
  const off = !('reason' in config) && config.antispoof.mode === 'off';
  const remedy = 'apt install libnftables1, and a kernel with CONFIG_NF_TABLES_NETDEV (modprobe nf_tables)';
  return [
    off
      ? note(
          'nft',
          `cannot be used (${nft}), and anti-spoofing is off; control frames of guests pass`,
          remedy,
        )
      : error('nft', `cannot be used, so no vif with an ip key is attached: ${nft}`, remedy),
  ];
}

/** What is at the ingress of vifs before the filters. */
export function aboutIngress({ links, devices = [], ingress = [] }: Facts): Finding[] {
  const vifs = new Set([...links.all()].filter(vifOfLink).map(({ index }) => index));
  return devices.filter(({ ifindex }) => vifs.has(ifindex)).flatMap((device) => aheadOf(device, ingress));
}
