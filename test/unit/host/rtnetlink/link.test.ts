import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { NetlinkConnection } from '../../../../src/host/netlink/connection.js';
import type { AttrStream } from '../../../../src/host/netlink/format.js';
import { LinkSettings } from '../../../../src/host/rtnetlink/link.js';
import { rtm } from '../../../../src/host/rtnetlink/link-message.js';
import { LinkState } from '../../../../src/host/rtnetlink/link-state.js';

test('nobody is told of the MTU that a bridge has for a moment, however many vifs join it at once', async () => {
  const told: number[] = [];
  const pins: Promise<void>[] = [];
  let mtu = 1500;
  let queue = Promise.resolve();
  // The kernel takes one request after another, and announces what changes before it answers.
  const request = (_type: number, _flags: number, header: Buffer, { bufs }: AttrStream): Promise<void> => {
    const data = Buffer.concat([header, ...bufs]);
    queue = queue.then(async () => {
      await sleep(2);
      const wanted = data.readUInt32LE(header.length + 4);
      if (wanted === mtu) return;
      mtu = wanted;
      if (!settings.isPassing({ type: rtm.newLink, flags: 0, seq: 0, port: 0, data })) told.push(mtu);
      // Another vif joins when the first is about to hear that it is done.
      if (mtu === 1500 && pins.length < 2) pin();
    });
    return queue;
  };
  const settings = new LinkSettings({ request } as unknown as NetlinkConnection, () => new LinkState());
  const pin = (): number => pins.push(settings.pinMtu(7, 1500));
  pin();
  await pins[0];
  await Promise.all(pins);
  expect(mtu).toBe(1500);
  expect(told).not.toContain(1501);
  expect(told).toContain(1500);
});
