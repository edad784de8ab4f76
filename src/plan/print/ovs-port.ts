import type { ActionOf, ActionTable, Marks, OvsAction } from '../../model/action.js';
import { steering } from '../../model/one-line.js';
import {
  type DesiredOvsPort,
  markKeys,
  noteKey,
  type OvsPort,
  usualOvsDatabase,
} from '../../model/ovs-port.js';
import { singleQuoted, word } from './word.js';

export const ovsPortLines: ActionTable<string, OvsAction['kind']> = {
  'ovs-add-port': (action) => `ovs-vsctl ${addPort(action)}`,
  'ovs-set-port': (action) => `ovs-vsctl${clearColumns(action)}${removeMarks(action)} ${setPort(action)}`,
  'ovs-pin-mtu': ({ name, mtu }) => `ovs-vsctl set interface ${word(name)} mtu_request=${mtu}`,
  'ovs-delete-port': ({ port, note }) =>
    `ovs-vsctl del-port ${word(port.bridge)} ${word(port.name)}${printNote(port, note)}`,
  'ovs-delete-note': ({ bridge, vif }) => `ovs-vsctl ${deleteNote(bridge, vif)}`,
};

/**
 * A line of these for a database that need not be the one `ovs-vsctl` takes by itself.
 * @param database `unix:` and the path of the server's socket
 */
export const forDatabase = (line: string, database: string): string =>
  database === usualOvsDatabase ? line : line.replace(/^ovs-vsctl/, () => `ovs-vsctl --db=${word(database)}`);

const addPort = ({ name, marks, port, forgets }: ActionOf<'ovs-add-port'>): string =>
  `add-port ${word(port.bridge)} ${word(name)}${printColumns(port)}${printIds(name, marks, port)}${
    forgets ? ` -- ${deleteNote(port.bridge, marks[markKeys.owner])}` : ''
  }`;

const deleteNote = (bridge: string, vif: string): string =>
  `remove bridge ${word(bridge)} external_ids ${noteKey(vif)}`;

const printNote = ({ bridge, owner = '' }: OvsPort, note: string | undefined): string =>
  note === undefined
    ? ''
    : ` -- set bridge ${word(bridge)} external_ids:${noteKey(owner)}=${printValue(note)}`;

const setPort = ({ name, marks, port }: ActionOf<'ovs-set-port'>): string =>
  `set port ${word(name)}${printColumns(port)}${printIds(name, marks, port)}`;

/** What makes columns empty that are not to be set. */
function clearColumns({ name, port, before }: ActionOf<'ovs-set-port'>): string {
  const columns = [
    before.tag !== undefined && port.tag === undefined ? ' tag' : '',
    before.trunks.length > 0 && port.trunks.length === 0 ? ' trunks' : '',
    before.vlanMode !== undefined && port.vlanMode === undefined ? ' vlan_mode' : '',
  ].join('');
  return columns === '' ? '' : ` clear port ${word(name)}${columns} --`;
}

/** What takes external_ids of vifd's away that are not to be there. */
function removeMarks({ name, marks, port, before }: ActionOf<'ovs-set-port'>): string {
  const isKnown = before.interface?.externalIds['iface-id'] !== undefined;
  return [
    before.hasOurVlans && marks[markKeys.vlan] === undefined
      ? ` remove port ${word(name)} external_ids ${markKeys.vlan} --`
      : '',
    before.kept !== undefined && marks[markKeys.kept] === undefined
      ? ` remove port ${word(name)} external_ids ${markKeys.kept} --`
      : '',
    isKnown && port.externalIds['iface-id'] === undefined
      ? ` remove interface ${word(name)} external_ids iface-id --`
      : '',
  ].join('');
}

function printColumns({ tag, trunks, vlanMode, isolated }: DesiredOvsPort): string {
  return [
    tag === undefined ? '' : ` tag=${tag}`,
    trunks.length === 0 ? '' : ` trunks=${trunks.join(',')}`,
    vlanMode === undefined ? '' : ` vlan_mode=${vlanMode}`,
    isolated === undefined ? '' : ` protected=${isolated}`,
  ].join('');
}

function printIds(name: string, marks: Marks, port: DesiredOvsPort): string {
  const print = (ids: Marks | DesiredOvsPort['externalIds']): string =>
    Object.entries(ids)
      .map(([key, value]) => ` external_ids:${key}=${printValue(value)}`)
      .join('');
  return `${print(marks)} -- set interface ${word(name)}${print(port.externalIds)}`;
}

/** A value as ovs-vsctl takes it where it holds anything but a plain word, safe in a shell. */
const printValue = (value: string): string =>
  /^[\w.-]+$/.test(value) ? value : singleQuoted(JSON.stringify(value).replace(steering, inJson));

const inJson = (character: string): string =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
