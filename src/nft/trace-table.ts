import { formatNetwork, type Network } from '../model/address.js';

/** The vif whose packets are marked to be traced. */
export interface Traced {
  /** Its netdev. */
  readonly device: string;
  /** The guest's, on a bridge; undefined where the vif is routed. */
  readonly mac: string | undefined;
  /** The guest's addresses, where the vif is routed. */
  readonly addresses: readonly Network[];
  /** Whether the guest is behind NAT: conntrack knows which answers are for it. Asking it starts it where it does not run. */
  readonly isNat: boolean;
}

/** The chains of {@link traceTables} that see a packet first when it comes from the guest, and else on its way there. */
export const fromGuestChain = 'from_guest';

/** How the names of tables begin that mark packets; the process's number follows. */
export const traceTablePrefix = 'vifd_trace_';

/** Of one vif, in a second. A packet passes some ten rules, each of which is told. */
const most = 200;

/**
 * The commands for tables of this name that mark the packets of one vif with `meta nftrace`, before any other chain judges
 * them. Tables with an owner go with the socket that made them (NFT_TABLE_F_OWNER, Linux 5.12).
 */
export function traceTables(name: string, { device, mac, addresses, isNat }: Traced): string[] {
  const mark = `limit rate ${most}/second burst ${most} packets meta nftrace set 1`;
  const table = (family: string, chains: readonly (readonly [string, string, readonly string[]])[]): string =>
    [
      `add table ${family} ${name} { flags owner; }`,
      ...chains.flatMap(([chain, hook, matches]) => [
        `add chain ${family} ${name} ${chain} { type filter hook ${hook}; policy accept; }`,
        ...matches.map((match) => `add rule ${family} ${name} ${chain} ${match} ${mark}`.replace('  ', ' ')),
      ]),
    ].join('\n');
  const toDevice = `oifname "${device}"`;
  const netdev = table('netdev', [[fromGuestChain, `ingress device "${device}" priority -400`, ['']]]);
  if (mac !== undefined) {
    return [
      netdev,
      table('bridge', [
        ['before', 'prerouting priority -400', [`ether daddr ${mac}`]],
        ['between', 'forward priority -400', [toDevice]],
        ['own', 'output priority -400', [toDevice]],
      ]),
    ];
  }
  const to = addresses.map((one) => ({ ip: one.family === 4 ? 'ip' : 'ip6', network: formatNetwork(one) }));
  return [
    netdev,
    table('inet', [
      ['before', 'prerouting priority -400', to.map(({ ip, network }) => `${ip} daddr ${network}`)],
      ...(isNat
        ? ([
            [
              'answers',
              'prerouting priority -199',
              to.map(({ ip, network }) => `ct direction reply ct original ${ip} saddr ${network}`),
            ],
          ] as const)
        : []),
      ['between', 'forward priority -400', [toDevice]],
      ['own', 'output priority -400', [toDevice]],
    ]),
  ];
}
