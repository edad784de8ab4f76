import type { Scenario } from './scenario.js';

/*
 * Scenarios in which what vifd talks to is replaced under it, or stops with it: xenstored by a live update, and domnet
 * itself by a suspension.
 */

/** Replaces xenstored by another process of the same program, to which it hands all connections and the tree. */
const liveUpdate = `control=$(ls /usr/lib/xen-*/bin/xenstore-control) old=$(pgrep -o xenstored || pgrep -o oxenstored)
  $control live-update -t 60 $(readlink /proc/$old/exe)`;

/** Xen 4.17's xl can only suspend a domain to write its memory somewhere, and let it go on. */
const suspension = `if xl suspend domnet 2>/dev/null; then
    [[ $(xl list domnet | awk 'NR > 1 { print $5 }') == *s* ]] || { echo 'domnet is not suspended' >&2; exit 1; }
    sleep 5; xl resume domnet
  else xl save -c domnet /dev/null >&2; fi`;

export const suspensions: readonly Scenario[] = [
  {
    name: 'xenstored replaced by a live update, under traffic',
    async run(host) {
      const guest = await host.resident();
      await guest.works();
      const ended = await guest.traffic();
      const before = await host.dom0('pgrep -a xenstored');
      await host.dom0(liveUpdate);
      // What comes and goes afterwards is seen by the watches of before.
      await host.attach(guest, '', 1);
      await guest.works([0, 1]);
      await host.dom0(`xl network-detach ${guest.name} 1`);
      await guest.gone([1]);
      return `${(await ended()).trim()}; ${before.trim().split(' ')[1]}`;
    },
  },
  {
    name: 'domnet suspended and resumed, and its guests reach each other again',
    fault: true,
    async run(host) {
      const guest = await host.resident();
      await guest.works();
      await host.dom0(suspension);
      await guest.reaches();
      await host.attach(guest, '', 1);
      await guest.works([0, 1]);
      await host.dom0(`xl network-detach ${guest.name} 1`);
      await guest.gone([1]);
      return undefined;
    },
  },
];
