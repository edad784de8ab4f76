import { formatMessage, MessageType, parseError, parseMessages } from 'netlink';
import { NetlinkSocket } from 'node-netlink';
import { expect, test } from 'vitest';

/** RTM_GETLINK, NLM_F_REQUEST with NLM_F_ACK. */
const getLink = 18;
const requestWithAck = 5;

const request = (seq: number, data: Buffer): Buffer =>
  Buffer.concat(formatMessage({ type: getLink, flags: requestWithAck, seq, port: 0, data: [data] }));

test('a request that the kernel does not take is answered with the errno, and the next is served', async () => {
  const answers = new Map<number, number>();
  const lost: string[] = [];
  const socket = new NetlinkSocket({ groups: [] }).on('lost', () => lost.push('lost'));
  try {
    const both = new Promise<void>((resolve) => {
      socket.on('message', (data) => {
        for (const { type, seq, flags, data: body } of parseMessages(data))
          if (type === MessageType.ERROR) answers.set(seq, parseError(body, flags).errno);
        if (answers.size === 2) resolve();
      });
    });
    // Above the send buffer of a socket (net.core.wmem_default, 208 KB): EMSGSIZE.
    socket.send(request(1, Buffer.alloc(250_000)));
    const loopback = Buffer.alloc(16);
    loopback.writeInt32LE(1, 4);
    socket.send(request(2, loopback));
    await both;
    expect([...answers]).toEqual([
      [1, -90],
      [2, 0],
    ]);
    expect(lost).toEqual([]);
    expect(() => socket.send(Buffer.alloc(300_000))).toThrow(RangeError);
  } finally {
    socket.close();
  }
});
