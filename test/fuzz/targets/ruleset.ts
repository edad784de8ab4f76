import { parseIptables } from '../../../src/nft/walk/iptables-save.js';
import { parseRuleset } from '../../../src/nft/walk/ruleset.js';
import type { Target } from '../targets.js';

/** Listings of other programs' rules: `iptables-legacy -S`, and behind a NUL `nft -a list ruleset`. */
export const ruleset: Target = {
  name: 'ruleset',
  seeds: [
    '-P FORWARD DROP\n-N mine\n-A FORWARD -i vif5.0 ! -s 10.0.0.0/8 -m comment --comment "a \\" b" -j mine\n-A mine -p udp --dport 67 -j ACCEPT\n',
    '-P INPUT ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -m physdev --physdev-in vif5.0 -j DROP\n',
    '\0table inet fw {\n\tchain c { # handle 1\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tiifname "vif*" accept # handle 4\n\t}\n}\n',
    '\0table netdev t {\n\tchain c {\n\t\ttype filter hook ingress devices = { "eth0", vif5.0 } priority 0; policy accept;\n\t}\n}\n',
  ],
  words: [
    '-A FORWARD ',
    '-P INPUT DROP\n',
    '! ',
    '--dport ',
    '-m ',
    '"',
    '\\"',
    ' # handle 1\n',
    'table ',
    'chain ',
    'type filter hook ',
    'device "',
    '\0',
  ],
  longest: 3000,
  run(input) {
    const [legacy = '', listing = ''] = input.toString('utf8').split('\0');
    for (const family of ['ip', 'ip6'] as const) {
      const { base, rules } = parseIptables(family, legacy);
      for (const chain of base) rules(chain, chain.name);
    }
    parseRuleset('{"nftables":[]}', listing);
  },
};
