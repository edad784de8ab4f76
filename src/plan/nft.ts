import type { Network } from '../model/address.js';
import type { FilterSpec, HostServices } from '../model/filter.js';
import type { ForwardedPort } from '../model/forward.js';
import type { DesiredForwards } from '../model/ip.js';
import type { Limits } from '../model/limits.js';
import {
  type DesiredChain,
  type Element,
  elementId,
  type InstalledChain,
  isOfIntervals,
  type NftAction,
  type NftChange,
  type NftView,
  type RuledTable,
  ruledTables,
  type Table,
  tableOf,
  tables,
} from '../model/nft.js';
import type { Sysctl } from '../model/sysctl.js';
import { type VifId, vifName } from '../model/vif-id.js';
import {
  filterElements,
  forwardElements,
  masqueradeElement,
  portElements,
  servedElements,
} from '../nft/elements.js';

/** What a vif is to have in nf_tables. */
export interface DesiredNft {
  /** What it may send; undefined for anything. */
  readonly filter: FilterSpec | undefined;
  /** That no frame passes, in either direction. */
  readonly blocked?: boolean | undefined;
  readonly masquerades: readonly { readonly address: Network; readonly uplink: string }[];
  readonly forwards?: DesiredForwards | undefined;
  readonly ports?: readonly ForwardedPort[] | undefined;
  /** What dnsmasq serves to the guest, of which it is to ask so much and no more. */
  readonly served?: HostServices | undefined;
  /** Which devices this plan makes forward, and the families in which the vif's packets leave by its own ways only. */
  readonly opens?: readonly Element[];
  readonly closed?: readonly (4 | 6)[];
  /** The sysctls that are switched off with the last vif; they are read only where that goes. */
  readonly closes?: () => readonly Sysctl[];
}

/** The transactions that make nf_tables as desired for a vif, in their order; none that would change nothing. */
export interface NftPlan {
  /**
   * Makes dormant tables work. It is a transaction of its own, because the kernel refuses a base chain in the one that
   * wakes its table (nf_tables_addchain, since 6.9).
   */
  readonly wake: NftAction | undefined;
  /**
   * Installs or changes what holds the vif: performed before its link is up. Where it may speak from networks these come first: in one
   * transaction with what looks them up they would be missing for a moment ({@link isOfIntervals}).
   */
  readonly hold: readonly NftAction[];
  /** Deletes what the vif no longer has: performed when its link is down, or all else is as desired. */
  readonly release: NftAction | undefined;
}

const nothing: NftView = {
  missingRules: () => undefined,
  dormant: () => undefined,
  chains: () => [],
  elements: () => [],
  strangers: () => [],
  owner: () => undefined,
  speakers: () => [],
  opened: () => [],
  isNoted: () => false,
  rival: () => undefined,
  isAll: () => false,
  earlier: () => undefined,
};

/**
 * The transactions that make what a vif has in nf_tables as desired. A table's rules are set by the first vif that needs
 * them, and by any that finds them changed; a table goes with the last vif that has something in it.
 * @param link the netdev with the name it has when this is performed; without one there is no filter
 */
export function planNft(
  id: VifId,
  link: { readonly index: number; readonly name: string } | undefined,
  {
    filter,
    blocked = false,
    masquerades,
    forwards,
    ports = [],
    served,
    opens = [],
    closed = [],
    closes = () => [],
  }: DesiredNft,
  observed: NftView = nothing,
): NftPlan {
  const vif = vifName(id);
  const device = filter && link?.name;
  const wanted = [
    ...(filter && link ? filterElements(link.name, filter) : []),
    ...(forwards && link ? forwardElements(link.name, forwards, closed) : []),
    ...masquerades.map(({ address, uplink }) => masqueradeElement(address, uplink)),
    ...(link ? portElements(link.name, ports) : []),
    ...(link && served ? servedElements(link.name, served) : []),
  ];
  const wantedIds = new Set(wanted.map(elementId));
  const missing = wanted.filter((element) => observed.owner(element) !== vif);
  const rivals = missing.map((element) => observed.rival(element)).filter((element) => element !== undefined);
  const replaced = new Set(rivals.map(elementId));
  const stray = [...observed.elements(vif), ...(link ? observed.strangers(link.name, vif) : [])].filter(
    (element) => !wantedIds.has(elementId(element)) && !replaced.has(elementId(element)),
  );
  const addElement = (element: Element): NftChange => ({ change: 'add-element', element, owner: vif });
  const isHeld = filter !== undefined || blocked;
  const marks = filter?.group?.by.includes('switch') ?? false;
  const wantedChains = link && isHeld ? chainsOf(vif, link, blocked, marks, filter?.limits) : [];
  const chains = observed.chains(vif);
  const isBound = (found: InstalledChain): boolean =>
    wantedChains.some(({ chain, device }) => found.chain === chain && found.device === device);
  const hasChain = ({
    chain,
    device,
    blocks = false,
    limits = false,
    marks = false,
  }: DesiredChain): boolean =>
    chains.some(
      (found) =>
        found.chain === chain &&
        found.device === device &&
        found.fits &&
        (found.blocks ?? false) === blocks &&
        (found.limits ?? false) === limits &&
        (found.marks ?? false) === marks,
    );
  const used = new Set<Table>([
    ...wanted.map(tableOf),
    ...(wantedChains.length > 0 ? ['netdev vifd' as const] : []),
  ]);

  // Elements of the filter that the vif loses go before its link is up, all others at the end.
  const [revoked, released] = divide(stray, (element) => isHeld && heldBy.includes(tableOf(element)));
  const unbound = chains.filter((found) => !isBound(found));
  const notes = forwards === undefined ? [] : unnoted(opens, observed);
  // The kernel leaves an element that exists as it is, with its owner.
  const taken = [...rivals, ...missing.filter((element) => observed.owner(element) !== undefined)];
  const deleted = [...revoked, ...taken];
  const missingRules = ruledTables
    .filter((table) => used.has(table))
    .flatMap((table) => setRules(table, observed));
  // Not where one goes with which it may overlap: the kernel swaps these at once.
  const [ahead, beside] = divide(
    missing,
    (element) => isOfIntervals(element) && !deleted.some(({ set }) => set === element.set),
  );
  const [rulesAhead, rulesBeside] = divide(missingRules, ({ table }) =>
    ahead.some((element) => tableOf(element) === table),
  );
  const before: NftChange[] = [
    ...rulesBeside,
    ...notes.map((element): NftChange => ({ change: 'add-opened', element })),
    ...(isHeld ? unbound.map(deleteChain) : []),
    ...revoked.map(giveUp(vif, observed)),
    ...taken.map(deleteElement),
    ...forgetDrops(revoked, device),
    ...beside.map(addElement),
    ...wantedChains
      .filter((chain) => !hasChain(chain))
      .map((chain): NftChange => ({ change: 'set-chain', ...chain, owner: vif })),
  ];

  const gone = tables.filter(
    (table) =>
      !used.has(table) &&
      observed.isAll(table, vif) &&
      // An empty table that another program made stays.
      (released.some((element) => tableOf(element) === table) ||
        (table === 'netdev vifd' && chains.length > 0) ||
        table === 'inet vifd-nat' ||
        observed.missingRules(table) === undefined),
  );
  const earlier = observed.earlier(vif);
  const stays = (table: Table): boolean => !gone.includes(table);
  const after: NftChange[] = [
    ...(isHeld || !stays('netdev vifd') ? [] : unbound.map(deleteChain)),
    ...released.filter((element) => stays(tableOf(element))).map(giveUp(vif, observed)),
    ...(stays('netdev vifd') ? forgetDrops(released, device) : []),
    ...(stays('inet vifd') && earlier ? [{ change: 'delete-earlier', ...earlier } as const] : []),
    ...gone.map((table): NftChange => ({ change: 'delete-table', table })),
  ];
  const release = transaction(vif, after);
  const switchedOff = gone.includes('inet vifd') ? closes() : [];
  return {
    wake: transaction(
      vif,
      ruledTables.filter((table) => used.has(table)).flatMap((table) => wakeTable(table, observed)),
    ),
    hold: [transaction(vif, [...rulesAhead, ...ahead.map(addElement)]), transaction(vif, before)].filter(
      (action) => action !== undefined,
    ),
    release: release && {
      ...release,
      ...(switchedOff.length > 0 ? { closes: switchedOff } : {}),
    },
  };
}

/** The tables whose elements say which frames pass. */
const heldBy: readonly Table[] = ['netdev vifd', 'bridge vifd'];

/** The chains of a vif that is held, limited, in a group on a switch, or blocked. */
function chainsOf(
  vif: string,
  { index, name: device }: { index: number; name: string },
  blocked: boolean,
  marks: boolean,
  { toGuest, ...from }: Limits = {},
): DesiredChain[] {
  const chain = `${vif}_${index}`;
  if (!blocked && marks)
    return [
      { chain, device, marks },
      { chain: `${chain}_out`, device, egress: true, marks },
    ];
  if (!blocked)
    return [
      { chain, device, ...(Object.keys(from).length > 0 ? { limits: true } : {}) },
      ...(toGuest ? [{ chain: `${chain}_out`, device, egress: true, limits: true }] : []),
    ];
  return [
    { chain, device, blocks: true },
    { chain: `${chain}_out`, device, egress: true, blocks: true },
  ];
}

/** The elements that note what is made to forward and are not in the kernel: new ones, and those that another program deleted. */
function unnoted(opens: readonly Element[], observed: NftView): Element[] {
  const all = new Map([...opens, ...observed.opened()].map((element) => [elementId(element), element]));
  return [...all.values()].filter((element) => !observed.isNoted(element));
}

function wakeTable(table: RuledTable, observed: NftView): NftChange[] {
  const dormant = observed.dormant(table);
  return dormant === undefined ? [] : [{ change: 'wake-table', table, ...dormant }];
}

function setRules(table: RuledTable, observed: NftView): Extract<NftChange, { change: 'set-rules' }>[] {
  const rules = observed.missingRules(table);
  return rules === undefined ? [] : [{ change: 'set-rules', table, rules }];
}

const deleteElement = (element: Element): NftChange => ({ change: 'delete-element', element });

/** Deletes an element that a vif gives up, unless another has taken it over by then. */
const giveUp =
  (vif: string, observed: NftView) =>
  (element: Element): NftChange => ({
    change: 'delete-element',
    element,
    ...(observed.owner(element) === vif ? { of: vif } : {}),
  });

const deleteChain = ({ chain }: { chain: string }): NftChange => ({ change: 'delete-chain', chain });

/** Deletes the counters of the netdevs that these elements held, except of the one that is still held. */
function forgetDrops(elements: readonly Element[], held: string | undefined): NftChange[] {
  const devices = elements
    .filter(({ set }) => set === 'macs' || set === 'unheld')
    .map(({ key }) => key[0] ?? '');
  return [...new Set(devices)]
    .filter((device) => device !== held)
    .map((device) => ({ change: 'forget-drops', device }));
}

const transaction = (vif: string, changes: readonly NftChange[]): NftAction | undefined =>
  changes.length === 0 ? undefined : { kind: 'nft', vif, changes };

function divide<T>(items: readonly T[], first: (item: T) => boolean): [T[], T[]] {
  return [items.filter(first), items.filter((item) => !first(item))];
}
