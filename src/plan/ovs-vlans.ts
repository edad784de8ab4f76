import type { DesiredOvsPort, OvsPort } from '../model/ovs-port.js';

// The VLANs that others have set at a port for which dom0 asks for none.

type Vlans = Pick<OvsPort, 'tag' | 'trunks' | 'vlanMode'>;

/** The desired port with the VLANs that are others', where dom0 asks for none: those that it has, or had before it went on standby. */
export const withVlansOfOthers = (port: DesiredOvsPort, before: OvsPort): DesiredOvsPort =>
  port.vlansStay ? { ...port, ...vlansOfOthers(before) } : port;

/**
 * What the mark of a port on standby says of the VLANs that others have set, `tag=10 trunks=20,30`; undefined for none.
 * @param before the vif's own port, which is on standby or is about to be
 */
export function keptVlans(port: DesiredOvsPort, before: OvsPort): string | undefined {
  if (!port.vlansKept) return undefined;
  const { tag, trunks, vlanMode } = vlansOfOthers(before);
  const words = [
    ...(tag === undefined ? [] : [`tag=${tag}`]),
    ...(trunks.length === 0 ? [] : [`trunks=${trunks.join(',')}`]),
    ...(vlanMode === undefined ? [] : [`vlan_mode=${vlanMode}`]),
  ];
  return words.length === 0 ? undefined : words.join(' ');
}

/** A port that has been deleted, as its bridge's note has its VLANs. */
export const noted = (kept: string): OvsPort => ({
  uuid: '',
  name: '',
  bridge: '',
  tag: undefined,
  trunks: [],
  vlanMode: undefined,
  owner: undefined,
  madeFor: undefined,
  hasOurVlans: true,
  kept,
  interface: undefined,
});

function vlansOfOthers({ hasOurVlans, tag, trunks, vlanMode, kept = '' }: OvsPort): Vlans {
  if (!hasOurVlans) return { tag, trunks, vlanMode };
  const values = new Map(kept.split(' ').map((word) => word.split('=') as [string, string | undefined]));
  const number = values.get('tag');
  // A tag that was set on standby is for when the traffic goes by this port again.
  const own = kept !== '' || trunks.join() === '4095' ? tag : undefined;
  return {
    tag: own ?? (number === undefined ? undefined : Number(number)),
    trunks: values.get('trunks')?.split(',').map(Number) ?? [],
    vlanMode: values.get('vlan_mode'),
  };
}
