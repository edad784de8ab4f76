import { execFileSync } from 'node:child_process';
import { formatMessage, MessageType, parseMessages } from 'netlink';
import { NetlinkSocket } from 'node-netlink';

// Changes neighbour entries of several owners, then asks for all; prints what was told of each, by the last byte of its address.

/** RTM_GETNEIGH, NLM_F_REQUEST with NLM_F_DUMP; NLM_F_MULTI, and NDA_DST behind the headers. */
const [getNeigh, dump, multi, addressAt] = [30, 0x301, 2, 12 + 4];
const told: string[] = [];

const socket = new NetlinkSocket({ groups: [], neighbours: 120 }).on('message', (data) => {
  for (const { type, flags, data: body } of parseMessages(data)) {
    if (type !== MessageType.DONE) told.push(`${flags & multi ? 'row' : type} ${body[addressAt + 3]}`);
    else {
      console.log(JSON.stringify(told));
      socket.close();
    }
  }
});
const entry = 'lladdr 02:00:00:00:00:09 dev v0';
const commands = [
  'link add v0 type veth peer name v1',
  'link set v0 up',
  'link set v1 up',
  'link add br0 up type bridge',
  'link set v1 up master br0',
  `neighbour add 10.0.0.1 ${entry} nud permanent protocol 120`,
  `neighbour add 10.0.0.2 ${entry} nud permanent`,
  `neighbour add 10.0.0.3 ${entry} nud reachable protocol 121`,
  // The protocol number of an entry stays.
  `neighbour replace 10.0.0.1 lladdr 02:00:00:00:00:08 dev v0 nud permanent`,
  'neighbour delete 10.0.0.2 dev v0',
  'neighbour delete 10.0.0.1 dev v0',
];
execFileSync('ip', ['-batch', '-'], { input: commands.join('\n') });
execFileSync('bridge', ['fdb', 'add', '02:00:00:00:00:07', 'dev', 'v1', 'master', 'static']);
const header = Buffer.alloc(12);
header.writeUInt8(2, 0);
socket.send(Buffer.concat(formatMessage({ type: getNeigh, flags: dump, seq: 1, port: 0, data: [header] })));
