/** One VLAN of a bridge port, as `bridge vlan show` has it. */
export interface PortVlan {
  /** 1 to 4094. */
  readonly vid: number;
  /** Untagged frames that arrive belong to it; at most one of a port's VLANs. */
  readonly pvid: boolean;
  /** Its frames leave without a tag. */
  readonly untagged: boolean;
}

/** VLANs that follow each other and are alike: what one `bridge vlan` command names. */
export interface VlanRange {
  readonly first: number;
  readonly last: number;
  readonly pvid: boolean;
  readonly untagged: boolean;
}

const vidRange = { least: 1, most: 4094 };

/**
 * Parses libxl's `vlan` (xl-network-configuration(5)): terms split by `/`, each `10`, `10p` (the PVID, which implies
 * untagged), `10u` (untagged), `20-30`, `20-30u`, `100+10x4` or `100+10x4u`. A single VLAN is the PVID without saying
 * so; where there are more, one must be marked.
 *
 * `100+10x4` has been read in three ways, and no release of Xen has a reader that would settle it. The manual's text
 * says "count additional entries": 100, 110, 120, 130, 140; so does the message of the patch that taught the stock
 * script VLANs (`100+10x9` is 100 to 190), which was never merged. Its code stops one earlier, at 130; the manual's
 * example goes one further, to 150. Two statements of the rule agree, and they are what is done here.
 *
 * @returns the VLANs in ascending order, or the reason why there are none
 */
export function parseVlans(text: string): PortVlan[] | string {
  const vlans = new Map<number, PortVlan>();
  for (const term of text.split('/')) {
    const range = parseTerm(term);
    if (typeof range === 'string') return range;
    const { first, step, additional, pvid, untagged } = range;
    for (let i = 0, vid = first; i <= additional; i++, vid += step) {
      if (vid < vidRange.least || vid > vidRange.most) {
        return `VLAN ${vid} is not between ${vidRange.least} and ${vidRange.most}`;
      }
      if (vlans.has(vid)) return `VLAN ${vid} is given more than once`;
      vlans.set(vid, { vid, pvid, untagged });
    }
  }
  const sorted = [...vlans.values()].sort((a, b) => a.vid - b.vid);
  const [only] = sorted;
  if (sorted.length === 1 && only !== undefined) return [{ vid: only.vid, pvid: true, untagged: true }];
  const marked = sorted.filter(({ pvid }) => pvid).length;
  if (marked > 1) return `only one VLAN can be the PVID, and ${marked} are marked with p`;
  return marked === 1 ? sorted : 'one of several VLANs must be the PVID: mark it with p, like 10p/20';
}

interface Term {
  readonly first: number;
  readonly step: number;
  readonly additional: number;
  readonly pvid: boolean;
  readonly untagged: boolean;
}

function parseTerm(term: string): Term | string {
  const match = /^(\d{1,4})(?:-(\d{1,4})(u?)|\+(\d{1,4})x(\d{1,4})(u?)|([pu]?))$/.exec(term);
  if (match === null)
    return 'each part of it has to be one of "10", "10p", "10u", "20-30", "20-30u", "100+10x4"';
  const [, firstText, lastText, rangeFlag, stepText, countText, seriesFlag, flag] = match;
  const first = Number(firstText);
  const untagged = [rangeFlag, seriesFlag, flag].includes('u');
  if (lastText !== undefined) {
    const additional = Number(lastText) - first;
    return additional < 0
      ? `the range ${first}-${Number(lastText)} goes down`
      : { first, step: 1, additional, pvid: false, untagged };
  }
  if (countText !== undefined) {
    return { first, step: Number(stepText), additional: Number(countText), pvid: false, untagged };
  }
  return { first, step: 1, additional: 0, pvid: flag === 'p', untagged: untagged || flag === 'p' };
}

/** Folds VLANs, given in ascending order, into ranges. The PVID stands alone: the kernel takes no range with it. */
export function vlanRanges(vlans: readonly PortVlan[]): VlanRange[] {
  const ranges: VlanRange[] = [];
  for (const { vid, pvid, untagged } of vlans) {
    const before = ranges.at(-1);
    if (before && before.last === vid - 1 && !before.pvid && !pvid && before.untagged === untagged) {
      ranges[ranges.length - 1] = { ...before, last: vid };
    } else {
      ranges.push({ first: vid, last: vid, pvid, untagged });
    }
  }
  return ranges;
}
