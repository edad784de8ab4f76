import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
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
/** What the listener was told, and what it does. */
const seen = { messages: 0, overflows: 0, failures: [] as string[] };
let message: () => void;
let overflow: () => Promise<void>;

beforeEach(() => {
  Object.assign(seen, { messages: 0, overflows: 0, failures: [] });
  message = () => undefined;
  overflow = () => Promise.resolve();
  connection = new NetlinkConnection([1], {
    message: () => {
      seen.messages++;
      message();
    },
    overflow: () => {
      seen.overflows++;
      return overflow();
    },
    failed: (error) => seen.failures.push(error.message),
  });
});
afterEach(() => {
  connection.close();
  vi.useRealTimers();
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

/** Has the kernel answer the message at this place, from the end, of those that were sent in one datagram. */
function answerOne(fromEnd: number, errno: number): void {
  const last = socket.sent.at(-1) ?? Buffer.alloc(0);
  const sequence: number[] = [];
  for (let at = 0; at < last.length; at += last.readUInt32LE(at)) sequence.push(last.readUInt32LE(at + 8));
  const data = Buffer.alloc(36);
  [36, error].forEach((word, i) => void data.writeUInt32LE(word, 4 * i));
  data.writeUInt32LE(sequence.at(-fromEnd) ?? 0, 8);
  data.writeInt32LE(errno, 16);
  socket.emit('message', data);
}

test.each([
  ['those that are not there are no error', [-2, -2, -2], undefined],
  [
    'those that are there go to the listener, and what the kernel says at the end counts',
    [-2, 0, 0],
    undefined,
  ],
  ['any other refusal fails all of it', [-12, -2, 0], 'ENOMEM'],
])('several objects are asked for in one datagram: %s', async (_, errnos, code) => {
  const asked = connection.ask(
    12,
    errnos.map(() => [Buffer.alloc(4)]),
  );
  const outcome = asked.then(
    () => undefined,
    (reason) => reason.code,
  );
  await Promise.resolve();
  expect(socket.sent).toHaveLength(1);
  errnos.forEach((errno, i) => {
    if (errno !== 0 || i === 2) answerOne(3 - i, errno);
  });
  expect(await outcome).toBe(code);
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

const cut = Buffer.from([40, 0, 0, 0, 16, 0, 0, 0]);

test('a datagram that is cut fails the request under way, and everything is read again', async () => {
  const request = connection.request(18, 0, Buffer.alloc(16));
  await Promise.resolve();
  socket.emit('message', cut);
  await expect(request).rejects.toMatchObject({ code: 'EBADMSG' });
  expect(seen).toMatchObject({
    overflows: 1,
    failures: [expect.stringMatching(/a datagram of 8 bytes: .*EBADMSG/)],
  });
  const next = connection.request(18, 0, Buffer.alloc(16));
  await Promise.resolve();
  answer(error, 0, Buffer.alloc(20));
  await next;
});

test('so does a row that cannot be decoded', async () => {
  message = () => void Buffer.alloc(2).readUInt32LE(0);
  const dump = connection.dump(18, Buffer.alloc(16));
  await Promise.resolve();
  answer(16, 2, Buffer.alloc(16));
  await expect(dump).rejects.toMatchObject({ code: 'EBADMSG' });
  expect(seen).toMatchObject({ messages: 1, overflows: 1 });
});

test('what cannot be read again is tried again with growing pauses, and told once', async () => {
  vi.useFakeTimers();
  overflow = () => {
    socket.emit('message', cut);
    return Promise.reject(new Error('a row is cut'));
  };
  socket.emit('message', cut);
  await vi.advanceTimersByTimeAsync(30_000);
  expect(seen.overflows).toBeLessThan(15);
  const told = seen.failures.length;
  overflow = () => Promise.resolve();
  await vi.advanceTimersByTimeAsync(60_000);
  const { overflows } = seen;
  await vi.advanceTimersByTimeAsync(600_000);
  expect(seen).toMatchObject({ overflows, failures: { length: told } });
  expect(vi.getTimerCount()).toBe(0);
});

test('a socket that ends by itself fails what was asked, and the process where it is announced to', async () => {
  const asking = new NetlinkConnection([], { message: () => undefined, overflow: () => undefined });
  const request = asking.request(18, 0, Buffer.alloc(16));
  await Promise.resolve();
  socket.emit('lost');
  await expect(request).rejects.toThrow('closed');
  const announced = new NetlinkConnection([1], { message: () => undefined, overflow: () => undefined });
  expect(() => socket.emit('lost')).toThrow('the netlink socket ended');
  announced.close();
});
