/** What a figure is divided by: that of another agent, vifd's own of another row, or a bare Node's start. */
export type Reference = 'floor' | { readonly row: string };

export interface RowKind {
  readonly title: string;
  readonly unit: 'ms' | 'MB' | 'KB' | '' | 'ns';
  /** Without one the figure itself is compared. */
  readonly reference?: Reference;
  /** What is aimed at: a ratio where there is a reference. */
  readonly goal?: number;
}

const node = { row: 'start.node' } as const;
const floor = 'floor' as const;

/** All that is measured, in the order of the table. */
export const rows: Readonly<Record<string, RowKind>> = {
  'next.plain': { title: 'the next vif, plain', unit: 'ms', reference: floor, goal: 2 },
  'next.ipv4': { title: '…with an IPv4 address', unit: 'ms', reference: floor, goal: 3 },
  'next.both': { title: '…with IPv4 and IPv6', unit: 'ms', reference: floor, goal: 3 },
  'next.route': { title: '…routed', unit: 'ms', reference: floor },
  'next.nat': { title: '…behind NAT', unit: 'ms', reference: floor },
  'burst.plain': { title: '64 at once, plain', unit: 'ms', reference: floor, goal: 1.5 },
  'burst.ipv4': { title: '…with IPv4 addresses', unit: 'ms', reference: floor, goal: 2 },
  'cpu.plain': { title: 'CPU time of 64, plain', unit: 'ms', reference: node },
  'cpu.ipv4': { title: '…with IPv4 addresses', unit: 'ms', reference: node },
  'plain.100': { title: 'plain, beside 100', unit: 'ms', reference: { row: 'next.plain' } },
  'plain.300': { title: '…300', unit: 'ms', reference: { row: 'next.plain' } },
  'plain.1000': { title: '…1,000', unit: 'ms', reference: { row: 'next.plain' }, goal: 1.3 },
  'ipv4.100': { title: 'IPv4, beside 100', unit: 'ms', reference: { row: 'next.ipv4' } },
  'ipv4.300': { title: '…300', unit: 'ms', reference: { row: 'next.ipv4' } },
  'ipv4.1000': { title: '…1,000', unit: 'ms', reference: { row: 'next.ipv4' }, goal: 1.3 },
  'nat.400': { title: 'NAT, beside 400', unit: 'ms', reference: { row: 'next.nat' }, goal: 1.3 },
  'burst.nat': { title: '400 NAT at once', unit: 'ms', reference: { row: 'burst.ipv4' } },
  'start.node': { title: "a bare Node's start and end", unit: 'ms' },
  'start.none': { title: 'start to READY, beside 8', unit: 'ms', reference: node },
  'start.1000': { title: '…beside 1,000 with filters', unit: 'ms', reference: node },
  'stall.start': { title: 'event loop held: start beside 1,000', unit: 'ms', reference: node },
  'stall.round': { title: "…the minute's round", unit: 'ms', reference: node },
  'stall.status': { title: '…`vifd status`', unit: 'ms', reference: node },
  'stall.attach': { title: '…an attach', unit: 'ms', reference: node },
  'stall.nat': { title: '…400 NAT at once', unit: 'ms', reference: node },
  'memory.idle': { title: 'idle memory over a bare Node', unit: 'MB', goal: 15 },
  'memory.vif': { title: "a vif's memory", unit: 'KB', goal: 30 },
  'path.bridge.free': { title: 'a packet on a bridge, held to nothing', unit: 'ns' },
  'path.bridge.held': {
    title: '…held to MAC and address',
    unit: 'ns',
    reference: { row: 'path.bridge.free' },
  },
  'path.route.free': { title: 'a packet that is routed, held to nothing', unit: 'ns' },
  'path.route.held': { title: '…held to its address', unit: 'ns', reference: { row: 'path.route.free' } },
  'path.nat.free': { title: 'a packet through NAT, held to nothing', unit: 'ns' },
  'path.nat.held': { title: '…held to its address', unit: 'ns', reference: { row: 'path.nat.free' } },
  'birth.messages': { title: 'a birth: messages to xenstored', unit: '', goal: 12 },
  'birth.looks': { title: '…looks', unit: '', goal: 2 },
  'birth.netlink': { title: '…requests to rtnetlink', unit: '' },
  'birth.nft': { title: '…transactions of nf_tables', unit: '' },
  'death.messages': { title: 'a death: messages to xenstored', unit: '', goal: 8 },
  'death.looks': { title: '…looks', unit: '', goal: 2 },
  'death.netlink': { title: '…requests to rtnetlink', unit: '' },
  'death.nft': { title: '…transactions of nf_tables', unit: '' },
};
export type Agent = 'vifd' | 'before' | 'floor' | 'stock';
