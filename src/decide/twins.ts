import { type Dependency, netdev } from '../model/dependency.js';
import type { Link, LinkView } from '../model/observed.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { vifName } from '../model/vif-id.js';

/** The netdevs of the other vifs of a vif's card, and news of all that they depend on. */
export interface Twins {
  readonly links: readonly Link[];
  readonly dependsOn: readonly Dependency[];
}

export function twinsOf({ twins = [] }: VifSnapshot, links: LinkView): Twins {
  const found = twins.map((id) => links.ofVif(id)).filter((link) => link !== undefined);
  return {
    links: found,
    dependsOn: [...twins.map((id) => netdev(vifName(id))), ...found.map(({ name }) => netdev(name))],
  };
}

/**
 * Whether the guest's traffic is to go by this vif and not by a twin: by the one whose frontend connected last, which is the
 * one whose carrier came last. Where that is not known it stays where it is; else it goes to the newest netdev, which is the guest's own,
 * since the stubdomain's vif is made first.
 * @param holds whether the traffic goes by a netdev now
 */
export function isPreferred(
  own: Link | undefined,
  { links }: Twins,
  holds: (link: Link) => boolean = () => false,
): boolean {
  if (links.length === 0) return true;
  if (own === undefined) return false;
  const rank = (link: Link): number[] => [
    link.up && link.carrierSince !== undefined ? 1 : 0,
    (link.up && link.carrierSince) || 0,
    holds(link) ? 1 : 0,
    link.index,
  ];
  const mine = rank(own);
  return links.every((twin) => isBefore(mine, rank(twin)));
}

/** What people are told of a vif, where the traffic of its card goes by another. */
export const standby = (
  { twins = [] }: VifSnapshot,
  isStandby: boolean,
): { readonly standbyFor?: readonly string[] } => (isStandby ? { standbyFor: twins.map(vifName) } : {});

/** Whether a rank is above another: the first number that differs decides. */
function isBefore(one: readonly number[], other: readonly number[]): boolean {
  const at = one.findIndex((value, i) => value !== other[i]);
  return at >= 0 && (one[at] ?? 0) > (other[at] ?? 0);
}
