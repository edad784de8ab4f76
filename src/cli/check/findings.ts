import type { Config } from '../../config/config.js';
import { aboutBlocks } from './blocks.js';
import { aboutBridges } from './bridges.js';
import { decidedVifs } from './decided.js';
import type { Facts } from './facts.js';
import { aboutFilters, aboutIngress } from './filters.js';
import { error, type Finding, ok, warning } from './finding.js';
import { aboutFirewalls } from './firewalls.js';
import { aboutForwards } from './forwards.js';
import { aboutForwarding, aboutKernel } from './kernel.js';
import { aboutLeftovers } from './leftovers.js';
import { aboutOpenBridges } from './open-bridges.js';
import { aboutRings } from './rings.js';
import { aboutClaims, aboutRivals } from './rivals.js';
import { aboutSenders } from './senders.js';
import { aboutSets } from './sets.js';
import { aboutXenstore } from './store.js';
import { aboutTopologies } from './topologies.js';
import { aboutGroups, aboutTables } from './unmatched.js';

/** The findings about a machine, in order of the checks; a check that does not apply to it is left out. */
export function findings(facts: Facts, config: Config | { readonly reason: string }): Finding[] {
  const decided = decidedVifs(facts, config);
  const known = 'reason' in facts.xenstore || 'reason' in config ? undefined : config;
  return [
    'reason' in config
      ? error('configuration', config.reason, 'correct the file; vifd keeps to the old one until then')
      : ok('configuration', 'valid'),
    facts.vifd
      ? ok('vifd', 'runs')
      : warning(
          'vifd',
          'it does not run: nothing is attached, repaired or taken away',
          'systemctl enable --now vifd; journalctl -u vifd tells why it ended',
        ),
    ...aboutXenstore(facts),
    facts.netback
      ? ok('netback', 'xen-netback is loaded')
      : error(
          'netback',
          'xen-netback is not loaded: no vif will get a netdev',
          'modprobe xen-netback, and name it in /etc/modules-load.d',
        ),
    ...aboutBlocks(facts),
    ...aboutRivals(facts),
    ...aboutClaims(facts),
    ...aboutBridges(decided, facts),
    ...aboutOpenBridges(facts, config),
    ...aboutKernel(facts),
    ...('reason' in facts.xenstore ? [] : aboutForwarding(decided, facts)),
    ...aboutTopologies(decided, facts, config),
    ...aboutFilters(facts, config),
    ...aboutIngress(facts),
    ...(facts.rules === undefined ? [] : aboutFirewalls(facts.stopped ?? [], facts.rules)),
    ...(known === undefined ? [] : [...aboutTables(decided, known), ...aboutGroups(decided, known)]),
    ...('reason' in config
      ? []
      : [...aboutSets(facts.observed ?? {}, config), ...aboutForwards(facts, config)]),
    ...(known === undefined ? [] : aboutSenders(decided, facts)),
    ...aboutLeftovers(facts),
    ...aboutRings(facts),
  ];
}
