import {
  chainMark,
  dropReasons,
  dropsSet,
  type Element,
  type NftChange,
  type SetName,
  sets,
  specOf,
} from '../model/nft.js';

/** Priority of the vifs' chains: before flowtables and filters (0), whose verdict may take a packet off the hook. */
const chainPriority = -300;

/** The command that adds elements to a set. */
export type AddElements = (set: SetName, elements: readonly string[]) => string;

const addElements: AddElements = (set, elements) =>
  `add element ${sets[set].table} ${set} { ${elements.join(', ')} }`;

/** Changes as commands of nft(8), in order; consecutive elements of one set are one command. */
export function nftCommands(changes: readonly NftChange[], add: AddElements = addElements): string[] {
  const commands: string[] = [];
  let run: { verb: 'add' | 'delete'; set: SetName; elements: string[] } | undefined;
  const flush = (): void => {
    if (run?.verb === 'add') commands.push(add(run.set, run.elements));
    else if (run)
      commands.push(`delete element ${sets[run.set].table} ${run.set} { ${run.elements.join(', ')} }`);
    run = undefined;
  };
  for (const change of changes) {
    if (
      change.change !== 'add-element' &&
      change.change !== 'delete-element' &&
      change.change !== 'add-opened'
    ) {
      flush();
      commands.push(...commandsOf(change));
      continue;
    }
    const verb = change.change === 'delete-element' ? 'delete' : 'add';
    const text = printElement(change.element, 'owner' in change ? change.owner : undefined);
    if (run?.verb === verb && run.set === change.element.set) run.elements.push(text);
    else {
      flush();
      run = { verb, set: change.element.set, elements: [text] };
    }
  }
  flush();
  return commands;
}

function commandsOf(
  change: Exclude<NftChange, { change: 'add-element' | 'delete-element' | 'add-opened' }>,
): string[] {
  switch (change.change) {
    case 'set-rules':
      return [change.rules];
    case 'wake-table':
      return [`add table ${change.table}${change.flags === undefined ? '' : ` { flags ${change.flags}; }`}`];
    case 'delete-table':
      return [`delete table ${change.table}`];
    case 'set-chain': {
      const chain = `netdev vifd ${change.chain}`;
      const at = change.egress ? 'egress' : 'ingress';
      const hook = `type filter hook ${at} device "${change.device}" priority ${chainPriority}; policy drop;`;
      const [into, outOf] = change.marks
        ? ['marked_guest', 'marked_to_guest']
        : [change.limits ? 'limited_guest' : 'guest', 'limited_to_guest'];
      const rules = change.egress ? outOf : into;
      const rule = change.blocks ? 'drop' : `jump ${rules}`;
      return [
        `add chain ${chain} { ${hook} }`,
        `flush chain ${chain}`,
        // Not `add rule`: before that command libnftables reads all chains of all tables.
        `add chain ${chain} { ${rule} comment "${chainMark(change.owner, change)}"; }`,
      ];
    }
    case 'delete-chain': {
      // Kernels before 6.16 delete a netdev's chain with the netdev, without a notification; a chain that is added first
      // can be deleted in any case (`destroy` needs nft 1.0.8 and Linux 6.3).
      const chain = `chain netdev vifd ${change.chain}`;
      return [`add ${chain}`, `flush ${chain}`, `delete ${chain}`];
    }
    case 'forget-drops': {
      const keys = dropReasons.slice(1).map((_, i) => `"${change.device}" . ${i + 1}`);
      const elements = `element netdev vifd ${dropsSet} { ${keys.join(', ')} }`;
      return [`add ${elements}`, `delete ${elements}`];
    }
    case 'delete-earlier':
      return [
        ...change.chains.map((chain) => `delete chain inet vifd ${chain}`),
        ...change.sets.map((set) => `delete set inet vifd ${set}`),
      ];
  }
}

/** An element in nft's syntax, as it stands between braces. */
function printElement({ set, key }: Element, owner?: string): string {
  const spec = specOf(set);
  const parts = key.map((part, i) => (spec.key[i] === 'ifname' ? `"${part}"` : part));
  const size = spec.key.length;
  const value = spec.value === undefined ? '' : ` : ${parts.slice(size).join(' . ')}`;
  const limit = spec.limit === undefined ? '' : printLimit(spec.limit, parts.slice(size));
  return `${parts.slice(0, size).join(' . ')}${limit}${owner === undefined ? '' : ` comment "${owner}"`}${value}`;
}

const printLimit = (unit: 'bytes' | 'packets', [rate, burst]: readonly string[]): string =>
  ` limit rate over ${rate}${unit === 'bytes' ? ' bytes' : ''}/second burst ${burst} ${unit}`;
