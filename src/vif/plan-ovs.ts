import type { DesiredState } from './desired.js';
import { type VifId, vifName } from './id.js';
import type { Link, ObservedState } from './observed.js';
import { type DesiredOvsPort, isOwnPort, isSameMac, markKeys, type OvsPort } from './openvswitch.js';

/** What marks a port as a vif's, see {@link markKeys}. */
type Marks = Readonly<Record<(typeof markKeys)[keyof typeof markKeys], string>>;

/** Changes of Open vSwitch's database; each is one transaction. */
export type OvsAction =
  | {
      readonly kind: 'ovs-add-port';
      readonly name: string;
      readonly marks: Marks;
      readonly port: DesiredOvsPort;
    }
  /** Changes a port where it is: no packet is lost. */
  | {
      readonly kind: 'ovs-set-port';
      readonly name: string;
      readonly marks: Marks;
      readonly port: DesiredOvsPort;
      readonly before: OvsPort;
    }
  /** `release`: the netdev is there and goes elsewhere, so ovs-vswitchd must have let it go afterwards. */
  | { readonly kind: 'ovs-delete-port'; readonly port: OvsPort; readonly release: boolean };

/** Deletes the ports of a vif that should not be there: all, or all but the one that can be kept. */
export function planOvsRemovals(
  id: VifId,
  desired: DesiredState | undefined,
  { links, openvswitch }: ObservedState,
): OvsAction[] {
  const link = links.ofVif(id);
  return [...(openvswitch?.ports() ?? [])]
    .filter((port) => port.owner === vifName(id) && !(desired && link && canStay(port, desired, link)))
    .map((port) => ({ kind: 'ovs-delete-port', port, release: link !== undefined }));
}

/** Makes a vif's port, or changes it to what is wanted; nothing while the database cannot be seen. */
export function planOvsPort(
  id: VifId,
  desired: DesiredState,
  link: Link,
  { openvswitch }: ObservedState,
): OvsAction[] {
  const { name, ovsPort: port } = desired;
  if (port === undefined || openvswitch?.state !== 'known') return [];
  const marks: Marks = { [markKeys.owner]: vifName(id), [markKeys.ifindex]: `${link.index}` };
  const before = openvswitch.port(name);
  if (before === undefined || !isOwnPort(id, before, port) || !canStay(before, desired, link)) {
    return [{ kind: 'ovs-add-port', name, marks, port }];
  }
  return isAsWanted(before, port) ? [] : [{ kind: 'ovs-set-port', name, marks, port, before }];
}

/**
 * Whether a port can become what is wanted by changes in place. What was made for another bridge, netdev or guest can't:
 * it may carry more than is known here (domids come round), and of that nothing is kept.
 */
function canStay(before: OvsPort, { name, ovsPort }: DesiredState, link: Link): boolean {
  return (
    ovsPort !== undefined &&
    before.name === name &&
    before.bridge === ovsPort.bridge &&
    (before.owner === undefined || before.madeFor === `${link.index}`) &&
    isSameMac(before.interface?.externalIds['attached-mac'], ovsPort.externalIds)
  );
}

function isAsWanted(before: OvsPort, { tag, trunks, vlanMode, externalIds }: DesiredOvsPort): boolean {
  return (
    before.owner !== undefined &&
    before.tag === tag &&
    before.vlanMode === vlanMode &&
    before.trunks.join() === trunks.join() &&
    Object.entries(externalIds).every(([key, value]) => before.interface?.externalIds[key] === value)
  );
}

/** An action as the `ovs-vsctl` command an administrator would type for it. */
export function printOvsAction(action: OvsAction): string {
  switch (action.kind) {
    case 'ovs-add-port': {
      const { name, port } = action;
      return `ovs-vsctl add-port ${port.bridge} ${name}${printVlans(port)}${printIds(action)}`;
    }
    case 'ovs-set-port': {
      const { name, port, before } = action;
      const cleared = [
        before.tag !== undefined && port.tag === undefined ? ' tag' : '',
        before.trunks.length > 0 && port.trunks.length === 0 ? ' trunks' : '',
        before.vlanMode !== undefined && port.vlanMode === undefined ? ' vlan_mode' : '',
      ].join('');
      const clear = cleared === '' ? '' : ` clear port ${name}${cleared} --`;
      return `ovs-vsctl${clear} set port ${name}${printVlans(port)}${printIds(action)}`;
    }
    case 'ovs-delete-port':
      return `ovs-vsctl del-port ${action.port.bridge} ${action.port.name}`;
  }
}

function printVlans({ tag, trunks, vlanMode }: DesiredOvsPort): string {
  return [
    tag === undefined ? '' : ` tag=${tag}`,
    trunks.length === 0 ? '' : ` trunks=${trunks.join(',')}`,
    vlanMode === undefined ? '' : ` vlan_mode=${vlanMode}`,
  ].join('');
}

function printIds({ name, marks, port }: { name: string; marks: Marks; port: DesiredOvsPort }): string {
  const print = (ids: Readonly<Record<string, string>>): string =>
    Object.entries(ids)
      .map(([key, value]) => ` external_ids:${key}=${quote(value)}`)
      .join('');
  return `${print(marks)} -- set interface ${name}${print(port.externalIds)}`;
}

/** A value as ovs-vsctl wants it where it holds anything but a plain word, safe in a shell. */
function quote(value: string): string {
  return /^[\w.-]+$/.test(value) ? value : `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;
}
