import { EventEmitter } from 'node:events';
import { expect, test, vi } from 'vitest';
import { Connection } from '../../../native/node-xenstore/src/connection.js';
import { FrameReader } from '../../../native/node-xenstore/src/frame.js';

/** The socket of the connection that was made last. */
let socket: FakeSocket;

class FakeSocket extends EventEmitter {
  closed = false;

  constructor() {
    super();
    socket = this;
  }

  write(): void {}

  destroy(error?: Error): void {
    this.closed = true;
    setImmediate(() => {
      if (error) this.emit('error', error);
      this.emit('close');
    });
  }
}

vi.mock('node:net', () => ({
  get Socket() {
    return FakeSocket;
  },
}));
vi.mock('../../../native/node-xenstore/src/native.js', () => ({ startThread: () => ({ fd: 3 }) }));

const opened = Buffer.from('0c0000000100000000000000', 'hex');

test('a frame that is less than its header ends the connection, and nothing else', async () => {
  const opening = Connection.open(undefined);
  socket.emit('data', opened);
  const connection = await opening;
  const lost = vi.fn();
  connection.on('end', lost);
  const request = connection.send([{ kind: 'read', path: 'domid' }]);
  socket.emit('data', Buffer.from('040000000200000000000000', 'hex'));
  await expect(request).rejects.toMatchObject({ code: 'ENOTCONN', path: 'domid' });
  expect(lost).toHaveBeenCalledWith(true);
});

test('a size of 0 is an error, and does not loop', () => {
  expect(() => [...new FrameReader().push(Buffer.alloc(12))]).toThrow('a frame of 0 bytes');
});
