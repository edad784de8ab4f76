import type { DesiredState } from './desired.js';
import { type VifId, vifName } from './id.js';
import type { ObservedState } from './observed.js';
import { type DesiredOvsPort, isOwnPort, isSameMac, type OvsPort, ownerKey } from './openvswitch.js';

/** Changes of Open vSwitch's database; each is one transaction. */
export type OvsAction =
  /** Makes the port, instead of `replaces` where there is one. */
  | {
      readonly kind: 'ovs-add-port';
      readonly name: string;
      readonly owner: string;
      readonly port: DesiredOvsPort;
      readonly replaces: OvsPort | undefined;
    }
  /** Changes a port where it is: no packet is lost. */
  | {
      readonly kind: 'ovs-set-port';
      readonly name: string;
      readonly owner: string;
      readonly port: DesiredOvsPort;
      readonly before: OvsPort;
    }
  /** `release`: the netdev stays, and something else is to have it, so ovs-vswitchd must have let it go. */
  | { readonly kind: 'ovs-delete-port'; readonly port: OvsPort; readonly release: boolean };

/** The ports of a vif that should not be there: all of them, or those under another name than the wanted one. */
export function planOvsRemovals(
  id: VifId,
  desired: DesiredState | undefined,
  { links, openvswitch }: ObservedState,
): OvsAction[] {
  const kept = desired?.ovsPort === undefined ? undefined : desired.name;
  return [...(openvswitch?.ports() ?? [])]
    .filter((port) => port.owner === vifName(id) && port.name !== kept)
    .map((port) => ({ kind: 'ovs-delete-port', port, release: links.ofVif(id) !== undefined }));
}

/** The change that makes a vif's port as it is wanted, or none; none also while the database cannot be seen. */
export function planOvsPort(id: VifId, desired: DesiredState, { openvswitch }: ObservedState): OvsAction[] {
  const { name, ovsPort: port } = desired;
  if (port === undefined || openvswitch?.state !== 'known') return [];
  const before = openvswitch.port(name);
  const owner = vifName(id);
  if (before === undefined) return [{ kind: 'ovs-add-port', name, owner, port, replaces: undefined }];
  // Somebody took the name between the verdict and this plan: the next look refuses.
  if (!isOwnPort(id, before, port)) return [];
  // What was made for another guest (domids come round) may carry more than we know of: nothing of it is kept.
  const moves = before.bridge !== port.bridge;
  if (moves || !isSameMac(before.interface?.externalIds['attached-mac'], port.externalIds)) {
    return [{ kind: 'ovs-add-port', name, owner, port, replaces: before }];
  }
  return isAsWanted(owner, before, port) ? [] : [{ kind: 'ovs-set-port', name, owner, port, before }];
}

function isAsWanted(
  owner: string,
  before: OvsPort,
  { tag, trunks, vlanMode, externalIds }: DesiredOvsPort,
): boolean {
  return (
    before.owner === owner &&
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
      const { name, port, replaces } = action;
      const old = replaces === undefined ? '' : ` del-port ${name} --`;
      return `ovs-vsctl${old} add-port ${port.bridge} ${name}${printVlans(port)}${printIds(action)}`;
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

function printIds({ name, owner, port }: { name: string; owner: string; port: DesiredOvsPort }): string {
  const ids = Object.entries(port.externalIds).map(([key, value]) => ` external_ids:${key}=${quote(value)}`);
  return ` external_ids:${ownerKey}=${owner} -- set interface ${name}${ids.join('')}`;
}

/** A value as ovs-vsctl wants it where it holds anything but a plain word, safe in a shell. */
function quote(value: string): string {
  return /^[\w.-]+$/.test(value) ? value : `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;
}
