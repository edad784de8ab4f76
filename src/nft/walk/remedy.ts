import type { Served } from '../../model/firewall.js';
import { type BaseChain, legacyTable, type Ruleset } from './ruleset.js';

/** The programs that run a firewall, by the names of their tables and chains. */
export type Firewall = 'docker' | 'ufw' | 'firewalld' | 'iptables' | 'iptables-legacy' | 'nft';

/** Which program a base chain belongs to. */
export function firewallOf(ruleset: Ruleset, chain: BaseChain): Firewall {
  if (chain.table === 'firewalld') return 'firewalld';
  const jumpsTo = (pattern: RegExp): boolean =>
    ruleset
      .rules(chain, chain.name)
      .some(({ statements }) =>
        statements.some((one) => pattern.test((one.jump as { target?: string } | undefined)?.target ?? '')),
      );
  if (jumpsTo(/^ufw6?-/)) return 'ufw';
  if (chain.hook === 'forward' && ruleset.has(chain, 'DOCKER-USER')) return 'docker';
  if (chain.table === legacyTable) return 'iptables-legacy';
  const isIptables = ['ip', 'ip6', 'bridge'].includes(chain.family) && /^[A-Z]+$/.test(chain.name);
  return isIptables ? 'iptables' : 'nft';
}

/**
 * The commands by which the firewall of a chain lets a vif through, to and from it: at forward, or for a service of this domain
 * at input and output.
 */
export function remedyFor(ruleset: Ruleset, chain: BaseChain, vif: string, service: Served = 'dhcp'): string {
  const { family, table, name, hook } = chain;
  const legacy = table === legacyTable ? '-legacy' : '';
  const iptables = family === 'bridge' ? 'ebtables' : `${family === 'ip6' ? 'ip6' : 'ip'}tables${legacy}`;
  const both = (insert: (option: '-i' | '-o') => string): string => `${insert('-i')}; ${insert('-o')}`;
  const port = { dns: '53', dhcp: '67', dhcp6: '547' }[service];
  switch (firewallOf(ruleset, chain)) {
    case 'docker':
      return both((option) => `${iptables} -I DOCKER-USER ${option} ${vif} -j ACCEPT`);
    case 'ufw':
      return hook === 'forward'
        ? `ufw route allow in on ${vif}; ufw route allow out on ${vif}`
        : hook === 'input'
          ? `ufw allow in on ${vif} to any port ${port} proto udp`
          : `ufw allow out on ${vif}`;
    case 'firewalld':
      return `firewall-cmd --permanent --zone=trusted --add-interface=${vif}; firewall-cmd --reload`;
    case 'iptables':
    case 'iptables-legacy':
      if (hook === 'forward') return both((option) => `${iptables} -I ${name} ${option} ${vif} -j ACCEPT`);
      return hook === 'input'
        ? `${iptables} -I ${name} -i ${vif} -p udp --dport ${port} -j ACCEPT`
        : `${iptables} -I ${name} -o ${vif} -j ACCEPT`;
    case 'nft': {
      const insert = `nft insert rule ${family} ${table} ${name}`;
      if (hook === 'forward') return `${insert} iifname "${vif}" accept; ${insert} oifname "${vif}" accept`;
      if (hook === 'prerouting') return `${insert} iifname "${vif}" accept`;
      return hook === 'input'
        ? `${insert} iifname "${vif}" udp dport ${port} accept`
        : `${insert} oifname "${vif}" accept`;
    }
  }
}
