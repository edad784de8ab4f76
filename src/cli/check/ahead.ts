import { type Finding, warning } from './finding.js';
import type { IngressQdisc, IpLink } from './way/facts.js';
import { jsonOf, runProgram } from './way/run.js';

/** The words of ip-link(8) for the modes in which a program is attached (XDP_ATTACHED_DRV, _SKB and _HW). */
const xdpWord: { readonly [mode: number]: string } = { 1: 'xdpdrv', 2: 'xdpgeneric', 3: 'xdpoffload' };

/** What comes before nf_tables at a device's ingress (`__netif_receive_skb_core` of net/core/dev.c): XDP, then tc. */
export function aheadOf(
  { ifname, xdp }: Pick<IpLink, 'ifname' | 'xdp'>,
  qdiscs: readonly IngressQdisc[],
): Finding[] {
  return [
    ...(xdp === undefined
      ? []
      : [
          warning(
            'ingress',
            `an XDP program is on ${ifname}, before everything else: what it passes on, drops or redirects, anti-spoofing has no say in`,
            `ip link set dev ${ifname} ${xdpWord[xdp.mode ?? 0] ?? 'xdp'} off; where that is refused a program holds it: bpftool net shows it`,
          ),
        ]),
    ...qdiscs
      .filter(({ dev }) => dev === ifname)
      .map(({ kind, hasFilters }) =>
        warning(
          'ingress',
          hasFilters
            ? `tc has filters at the ingress of ${ifname} (${kind}), before anti-spoofing: they may drop frames, or send them by it`
            : `tc has ${kind} on ${ifname}: a filter that is added at its ingress comes before anti-spoofing`,
          hasFilters
            ? `tc filter show dev ${ifname} ingress shows them, and tc filter del dev ${ifname} ingress takes them off`
            : `tc qdisc del dev ${ifname} ${kind}, unless it is for filters at egress`,
        ),
      ),
  ];
}

/** The devices at whose ingress tc is. */
export async function readIngress(): Promise<readonly IngressQdisc[]> {
  const all = await jsonOf<{ dev: string; kind: string }>('tc', ['-j', 'qdisc', 'show']);
  const found = all.filter(({ kind }) => kind === 'clsact' || kind === 'ingress');
  return await Promise.all(
    found.map(async ({ dev, kind }) => {
      // Without -j: for some actions tc prints JSON that does not parse.
      const output = await runProgram('tc', ['filter', 'show', 'dev', dev, 'ingress']);
      return { dev, kind, hasFilters: 'failed' in output || output.stdout.trim() !== '' };
    }),
  );
}
