import type { Facts } from './facts.js';
import { error, type Finding, note, ok, warning } from './finding.js';

/**
 * The backend nodes that a vif takes of this domain's xenstore quota, and the default quota of xenstored and oxenstored.
 * With these the 40th vif fails.
 */
const quota = { perVif: 25, nodes: 1000 };

/** Whether xenstore answers, which domain this is, and how much of its quota the vifs take. */
export function aboutXenstore({ xenstore }: Facts): Finding[] {
  if ('reason' in xenstore) {
    const remedy = 'is this a Xen domain, is /dev/xen/xenbus there, and may you open it?';
    return [error('xenstore', xenstore.reason, remedy)];
  }
  const { domid, vifs } = xenstore;
  const nodes = vifs.length * quota.perVif;
  return [
    ok('xenstore', 'answers'),
    domid === 0
      ? note(
          'driver domain',
          'this is dom0, or a xenstored of your own',
          'in dom0 libxl runs the scripts itself: vifd belongs in a domain with driver_domain=1',
        )
      : ok('driver domain', `this is domain ${domid}`),
    nodes > quota.nodes * 0.8
      ? warning(
          'quota',
          `${vifs.length} vifs take about ${nodes} xenstore nodes; by default a domain may have ${quota.nodes}`,
          "raise quota-maxentity in dom0's oxenstored.conf, or --quota of xenstored",
        )
      : ok(
          'quota',
          `${vifs.length} vifs, about ${nodes} of the ${quota.nodes} xenstore nodes a domain has by default`,
        ),
  ];
}
