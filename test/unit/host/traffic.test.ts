import { expect, test } from 'vitest';
import { parseTraffic } from '../../../src/host/traffic.js';

test('the counters of /proc/net/dev, also where a number fills its column', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 4096  12    0    0    0     0          0         0     4096      12    0    0    0     0       0          0
vif5.0:1234567890123456  34    1    2    0     0          0         9  789  56    3    4    0     0       0          0
`;
  const traffic = parseTraffic(text);
  expect([...traffic.keys()]).toEqual(['lo', 'vif5.0']);
  expect(traffic.get('vif5.0')).toEqual({
    rxBytes: 1234567890123456,
    rxPackets: 34,
    rxDropped: 2,
    txBytes: 789,
    txPackets: 56,
    txDropped: 4,
  });
});
