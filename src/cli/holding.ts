import type { Holding } from '../model/holding.js';

const talks = {
  none: 'it meets no other guest',
  group: 'of the other guests it meets its members only',
  all: 'it meets all guests that no group parts from it',
} as const;

/** What a vif is held to, as lines of `vifd status VIF`; none where that is not known, as from a daemon of an older release. */
export function printHolding(holding: Holding | null | undefined): [string, string][] {
  if (holding == null) return [];
  const { antispoof, because, macs, networks, controlFrames, limits = [], group } = holding;
  const rest: [string, string][] = [
    ['control frames', controlFrames ? 'pass' : 'are dropped'],
    ...(group === undefined ? [] : [['in group', `${group.name}: ${talks[group.talk]}`] as [string, string]]),
    ...(limits.length === 0 ? [] : [['limited to', limits.join(', ')] as [string, string]]),
  ];
  if (antispoof === 'off') {
    const why =
      because === 'no-ip'
        ? 'it has no ip key and [antispoof] mode is "auto"; give it ip=…, or [[vif]] antispoof = "mac"'
        : 'by the configuration';
    return [['antispoof', `off: it may send from any address: ${why}`], ...rest];
  }
  return [
    ['antispoof', antispoof],
    ['may send from', macs.join(' ')],
    ['and speak from', antispoof === 'mac' ? 'any address' : networks.join(' ') || 'none: it has no address'],
    ...rest,
  ];
}
