import type { Marks, OvsAction } from '../../model/action.js';
import type { DesiredOvsPort } from '../../model/ovs-port.js';

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
