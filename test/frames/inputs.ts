import type { Domnet } from '../support/net/domnet.js';

/** Packets of guests for the driver domain itself: those that came, and those that its filter let in and should not have. */
export interface Inputs {
  readonly came: number;
  readonly wrong: number;
}

const rules = `table inet spies {
  counter came { }
  counter wrong { }
  chain before {
    type filter hook input priority -10; policy accept;
    iifname "vif*" counter name came
  }
  chain behind {
    type filter hook input priority 10; policy accept;
    ct state established,related return
    icmp type echo-request return
    icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } return
    iifname "vif*" counter name wrong
  }
}`;

/**
 * Counts, from now on, what routed guests reach of the driver domain itself. By docs/operate/security.md that is echo, neighbour
 * discovery and answers to what the domain began, where it serves nothing.
 */
export async function countInputs(domnet: Domnet): Promise<() => Promise<Inputs>> {
  await domnet.exec('nft', [rules]);
  return async () => {
    const listing = await domnet.exec('nft', ['list', 'counters', 'table', 'inet', 'spies']);
    const of = (name: string): number =>
      Number(new RegExp(`counter ${name} \\{\\s*packets (\\d+)`).exec(listing)?.[1] ?? Number.NaN);
    return { came: of('came'), wrong: of('wrong') };
  };
}
