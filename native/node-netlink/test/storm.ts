import { execFileSync } from 'node:child_process';
import { formatMessage, MessageType, parseMessages } from 'netlink';
import { NetlinkSocket } from 'node-netlink';

// Run in a network namespace of its own: causes storms of notifications while the event loop is blocked, and prints how many messages and overflows there were, and the most bytes in one turn of the loop.
// The argument is the size of the receive buffer; storms are repeated until one overflows it, or as often as told.

/** RTNLGRP_LINK, RTM_GETLINK, NLM_F_REQUEST with NLM_F_ACK. */
const linkGroup = 1;
const getLink = 18;
const requestWithAck = 5;

const [buffer, storms] = process.argv.slice(2).map(Number);
const seen = { messages: 0, overflows: 0, answered: false, mostAtOnce: 0 };
let atOnce = 0;
const turn = (): void => {
  atOnce = 0;
  if (!seen.answered) setImmediate(turn);
};
turn();

const socket = new NetlinkSocket({
  groups: [linkGroup],
  ...(buffer ? { receiveBuffer: buffer } : {}),
})
  .on('overflow', () => {
    seen.overflows++;
  })
  .on('message', (data) => {
    atOnce += data.length;
    seen.mostAtOnce = Math.max(seen.mostAtOnce, atOnce);
    for (const { type, seq } of parseMessages(data)) {
      seen.messages++;
      if (type !== MessageType.ERROR || seq !== 7) continue;
      seen.answered = true;
      socket.close();
      console.log(JSON.stringify(seen));
    }
  });

/** execFileSync blocks the event loop: JavaScript reads none of this before it is over. */
function storm(): void {
  const lines = Array.from({ length: 1000 }, (_, i) => `link set lo ${i % 2 === 0 ? 'up' : 'down'}`);
  execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') });
}

for (let i = 0; i < (storms ?? 1) && seen.overflows === 0; i++) {
  storm();
  await new Promise((resolve) => setTimeout(resolve, 10));
}
const data = [Buffer.alloc(16)];
socket.send(Buffer.concat(formatMessage({ type: getLink, flags: requestWithAck, seq: 7, port: 0, data })));
