import { EventEmitter } from 'node:events';
import { beforeEach, expect, test, vi } from 'vitest';
import { NetlinkConnection } from '../../../../src/host/netlink/connection.js';

/** The socket of the connection that was made last. */
let socket: FakeSocket;

class FakeSocket extends EventEmitter {
  readonly sent: Buffer[] = [];

  constructor() {
    super();
    socket = this;
  }

  send(datagram: Buffer): void {
    this.sent.push(datagram);
  }

  close(): void {
    this.emit('closed');
  }
}

vi.mock('node-netlink', () => ({
  get NetlinkSocket() {
    return FakeSocket;
  },
}));

let connection: NetlinkConnection;

beforeEach(() => {
  connection = new NetlinkConnection([], { message: () => undefined, overflow: () => undefined });
});

const done = 3;
const error = 2;

/** Has the kernel send a message about the request that was sent last. */
function answer(type: number, flags: number, data: Buffer): void {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + data.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(socket.sent.at(-1)?.readUInt32LE(8) ?? 0, 8);
  socket.emit('message', Buffer.concat([header, data]));
}

const number = (value: number): Buffer => {
  const data = Buffer.alloc(4);
  data.writeInt32LE(value);
  return data;
};

test('a dump whose end carries an error is not taken for a whole one', async () => {
  const dump = connection.dump(18, Buffer.alloc(16));
  await Promise.resolve();
  answer(done, 2, number(-12));
  await expect(dump).rejects.toMatchObject({ code: 'ENOMEM' });
  const next = connection.dump(18, Buffer.alloc(16));
  await Promise.resolve();
  answer(done, 2, number(0));
  await next;
});

/** NLMSGERR_ATTR_MSG with a text, and its padding. */
function words(text: string): Buffer {
  const value = Buffer.from(`${text}\0`);
  const head = Buffer.from([4 + value.length, 0, 1, 0]);
  return Buffer.concat([head, value, Buffer.alloc(-value.length & 3)]);
}

test.each([
  ['only the header of the request is in it', 0x300, 16],
  ['the whole request is in it', 0x200, 32],
])("the kernel's own words are the reason: %s", async (_, flags, size) => {
  const request = connection.request(19, 0, Buffer.alloc(16));
  await Promise.resolve();
  const echo = Buffer.alloc(size);
  echo.writeUInt32LE(32, 0);
  answer(error, flags, Buffer.concat([number(-22), echo, words('Device can not be enslaved')]));
  await expect(request).rejects.toMatchObject({
    code: 'EINVAL',
    message: 'Device can not be enslaved (EINVAL)',
  });
});

test('an error that libuv has no name for says what it is', async () => {
  const request = connection.request(19, 0, Buffer.alloc(16));
  await Promise.resolve();
  answer(error, 0x100, Buffer.concat([number(-54), Buffer.alloc(16)]));
  await expect(request).rejects.toMatchObject({
    code: 'EXFULL',
    message: 'there is no room for one more; a bridge takes 1,023 ports (EXFULL)',
  });
});
