import { type Difference, printValue } from './differences.js';
import { inputs } from './inputs.js';

/** Something on the host that is otherwise than before a vif came, after it has gone. */
export interface Leftover extends Difference {
  readonly script: keyof typeof inputs;
}

const left = (
  script: Leftover['script'],
  of: readonly string[],
  list: readonly (readonly [what: string, stock: string | null, vifd: string | null, reason: string])[],
): Leftover[] =>
  list.map(([what, stock, vifd, reason]) => ({ script, inputs: of, what, stock, vifd, reason }));

const accepting6 = [
  ['sysctl net/ipv6/conf/eth0/accept_ra', null, '2', 'without forwarding it means the same as 1'],
] as const;

/** Everything that stays. What is not here is as before, whether by the stock script or by vifd. */
export const leftovers: readonly Leftover[] = [
  ...left(
    'vif-bridge',
    ['vifname'],
    [
      [
        'xenstore /local/domain/anna0/device/vif/anna0/mtu',
        '1500',
        null,
        'written to the path of a domid that does not exist; in a driver domain xenstored refuses that',
      ],
    ],
  ),
  ...left(
    'vif-openvswitch',
    ['mtu'],
    [
      [
        'OVS Interface ovsbr0 mtu_request',
        null,
        '1500',
        'the bridge keeps the MTU it has; clear it yourself',
      ],
    ],
  ),
  ...left(
    'vif-route',
    ['IPv6'],
    [
      ...accepting6,
      ...(['eth0', 'all'] as const).map(
        (device) =>
          [
            `sysctl net/ipv6/conf/${device}/proxy_ndp`,
            null,
            '1',
            'without proxy entries, which are gone, it does nothing',
          ] as const,
      ),
    ],
  ),
  ...left('vif-nat', ['IPv6'], accepting6),
];

/** The rows of the table in docs/operate/migrating.md. */
export const leftTable = (): string[] => [
  '| script and vif | what | `xl devd` | vifd | why |',
  '|---|---|---|---|---|',
  ...leftovers.map(({ script, inputs: of, what, stock, vifd, reason }) => {
    const which = of.length === Object.keys(inputs[script]).length ? 'every' : of.join('; ');
    return `| ${script}: ${which} | \`${what}\` | ${printValue(stock)} | ${printValue(vifd)} | ${reason} |`;
  }),
];
