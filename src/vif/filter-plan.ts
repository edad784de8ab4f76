import type { FilterSpec } from './filter.js';
import { type VifId, vifName } from './id.js';
import {
  type FilterView,
  type InstalledFilter,
  netdevTable,
  type RenderedFilter,
  renderFilter,
  routerCommands,
  routerState,
  routerTable,
} from './nft.js';

/** A transaction of nft commands. */
export interface FilterAction {
  readonly kind: 'filter';
  readonly commands: readonly string[];
}

const nothing: FilterView = { chains: () => [], elements: () => [], router: [] };

/**
 * The one transaction that makes a vif's filter as desired; undefined when it is so already. An absent filter or an
 * absent netdev means that nothing of it stays.
 * @param link the netdev with the name it has when this is performed
 */
export function planFilter(
  id: VifId,
  link: { readonly index: number; readonly name: string } | undefined,
  spec: FilterSpec | undefined,
  observed: FilterView = nothing,
): FilterAction | undefined {
  const vif = vifName(id);
  const want = link && spec && renderFilter(id, link, spec);
  const chains = observed.chains(vif);
  const elements = observed.elements(vif);
  const chainFits = want === undefined || chains.some((chain) => isSame(chain, want));
  const newElements = want?.elements.filter((element) => !elements.includes(element)) ?? [];
  const commands = [
    ...chains.filter((chain) => want === undefined || !isBoundAs(chain, want)).flatMap(deleteChain),
    ...elements.filter((element) => !want?.elements.includes(element)).flatMap(deleteElement),
    ...(chainFits ? [] : (want?.commands ?? [])),
    ...((want?.elements.length ?? 0) > 0 && !sameList(observed.router, routerState) ? routerCommands() : []),
    ...newElements.map((element) => `add element ${elementIn(element, vif)}`),
  ];
  return commands.length === 0 ? undefined : { kind: 'filter', commands };
}

/** Bound to the device it should be: its rules can be replaced in place. */
const isBoundAs = (found: InstalledFilter, want: RenderedFilter): boolean =>
  found.chain === want.chain && found.device === want.device;

const isSame = (found: InstalledFilter, want: RenderedFilter): boolean =>
  isBoundAs(found, want) && sameList(found.marks, want.marks);

const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);

/**
 * Kernels before 6.16 delete a netdev's chain with the netdev and tell nobody, so it may be gone: what is added first
 * can be deleted in any case (`destroy` needs nft 1.0.8 and Linux 6.3).
 */
function deleteChain({ chain }: InstalledFilter): string[] {
  const path = `chain ${netdevTable} ${chain}`;
  return [`add table ${netdevTable}`, `add ${path}`, `flush ${path}`, `delete ${path}`];
}

const deleteElement = (element: string): string[] => [`delete element ${elementIn(element)}`];

function elementIn(element: string, owner?: string): string {
  const [set, index] = element.split(' ');
  return `${routerTable} ${set} { ${index}${owner === undefined ? '' : ` comment "${owner}"`} }`;
}
