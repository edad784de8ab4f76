import type { Blocked, FirewallView, Served } from '../../model/firewall.js';
import type { Packet } from './packet.js';
import { remedyFor } from './remedy.js';
import { type BaseChain, legacyTable, type Ruleset } from './ruleset.js';
import { explain, nameChain, pass } from './walk.js';

/** The filters of other programs, as far as they certainly drop what a vif needs; vifd's own tables are left out. */
export function firewallView(ruleset: Ruleset): FirewallView {
  const others = { ...ruleset, base: ruleset.base.filter(({ table }) => table !== 'vifd') };
  const blocked = (
    hooks: readonly string[],
    what: string,
    packet: Packet,
    remedy: (chain: BaseChain) => string,
  ): Blocked | undefined => {
    for (const hook of hooks) {
      const last = pass(others, hook, packet).at(-1);
      // The last is the one that certainly drops it, if any does.
      if (last?.outcome !== 'drop' || !last.isCertain) continue;
      return {
        chain: nameChain(last.chain),
        does: explain(last).replace(' it ', ` ${what} `),
        remedy: remedy(last.chain),
      };
    }
    return undefined;
  };
  const ports = { out: { sport: 40_000, dport: 443 }, back: { sport: 443, dport: 40_000 } };
  const tcp = { protocol: 'tcp', to: 'unicast' } as const;
  return {
    forwarded({ vif, out, family, guest }) {
      const how = (chain: BaseChain) => remedyFor(others, chain, vif);
      const packet = { ...tcp, family, ...ports.out, state: 'new' } as const;
      const answer = { ...tcp, family, ...ports.back, state: 'established' } as const;
      const ends = { source: guest, destination: undefined };
      return (
        blocked(['forward'], 'packets of the guest', { ...packet, ...ends, iif: vif, oif: out }, how) ??
        blocked(
          ['forward'],
          'answers to the guest',
          { ...answer, source: undefined, destination: guest, iif: out, oif: vif },
          how,
        )
      );
    },
    bridged({ vif, bridge, family }) {
      const packet: Packet = {
        ...tcp,
        ...ports.out,
        family,
        state: 'new',
        iif: bridge,
        oif: bridge,
        physin: vif,
        source: undefined,
        destination: undefined,
      };
      return blocked(['forward'], 'bridged packets of the guest', packet, (chain) =>
        bridgedRemedy(others, chain, vif, bridge),
      );
    },
    served(vif, service) {
      const how = (chain: BaseChain) => remedyFor(others, chain, vif, service);
      const { asks, answers } = told[service];
      const [request, answer] = exchange(vif, service);
      return (
        blocked(['prerouting', 'input'], asks, request, how) ?? blocked(['output'], answers, answer, how)
      );
    },
  };
}

const told = {
  dhcp: { asks: 'its requests for an address by DHCP', answers: 'the answers of DHCP' },
  dhcp6: { asks: 'its requests for addresses by DHCPv6', answers: 'the answers of DHCPv6' },
  dns: { asks: 'its requests for names', answers: 'the answers to its requests for names' },
};

/** A guest's request to a service of this domain, and the answer. */
export function exchange(vif: string, service: Served): readonly [Packet, Packet] {
  const common = { family: 4, protocol: 'udp' } as const;
  const ends = { source: undefined, destination: undefined, to: 'unicast' } as const;
  const [from, at] = [
    { ...common, iif: vif, oif: '' },
    { ...common, ...ends, iif: '', oif: vif },
  ];
  if (service === 'dns')
    return [
      { ...from, ...ends, state: 'new', sport: 40_000, dport: 53 },
      { ...at, state: 'established', sport: 53, dport: 40_000 },
    ];
  // What is asked by multicast or broadcast is another connection than its answer to conntrack.
  if (service === 'dhcp6') {
    const multicast = { source: undefined, destination: 'ff02::1:2', to: 'multicast' } as const;
    return [
      { ...from, ...multicast, family: 6, state: 'new', sport: 546, dport: 547 },
      { ...at, family: 6, state: 'new', sport: 547, dport: 546 },
    ];
  }
  const broadcast = { source: '0.0.0.0', destination: '255.255.255.255', to: 'broadcast' } as const;
  return [
    { ...from, ...broadcast, state: 'new', sport: 68, dport: 67 },
    { ...at, state: 'new', sport: 67, dport: 68 },
  ];
}

/** How a chain is told to let bridged frames of a vif through, or is kept off them. */
export function bridgedRemedy(ruleset: Ruleset, chain: BaseChain, vif: string, bridge: string): string {
  const { family, table, name } = chain;
  if (family === 'bridge') {
    const insert = `nft insert rule bridge ${table} ${name}`;
    return /^[A-Z]+$/.test(name)
      ? `ebtables -I ${name} -i ${vif} -j ACCEPT; ebtables -I ${name} -o ${vif} -j ACCEPT`
      : `${insert} iifname "${vif}" accept; ${insert} oifname "${vif}" accept`;
  }
  const call = family === 'ip6' ? 'ip6tables' : 'iptables';
  const off = `sysctl -w net.bridge.bridge-nf-call-${call}=0 (and nf_call_${call} 0 of ${bridge}), which keeps br_netfilter off bridged frames`;
  if (table === legacyTable || (family !== 'inet' && /^[A-Z]+$/.test(name))) {
    const target = ruleset.has(chain, 'DOCKER-USER') ? 'DOCKER-USER' : name;
    const program = table === legacyTable ? `${call}-legacy` : call;
    return `${off}; or ${program} -I ${target} -i ${bridge} -o ${bridge} -j ACCEPT`;
  }
  return `${off}; or nft insert rule ${family} ${table} ${name} iifname "${bridge}" oifname "${bridge}" accept`;
}
