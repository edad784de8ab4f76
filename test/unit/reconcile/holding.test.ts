import { expect, test } from 'vitest';
import { DriverDomain } from '../../fake/driver-domain.js';

const [held, open] = [
  { domid: 5, devid: 0 },
  { domid: 6, devid: 0 },
];

test('the status of a vif has what it is held to while it is attached, and none of it when attaching fails', async () => {
  const domain = new DriverDomain({ config: '[[vif]]\nmac = "00:16:3e:00:05:00"\nallow = ["192.0.2.0/24"]' });
  await domain.start();
  domain.backend.create(held, { bridge: 'xenbr0', ip: '10.0.0.5', mac: '00:16:3e:00:05:00' });
  domain.backend.create(open, { bridge: 'xenbr0', mac: '00:16:3e:00:06:00' });
  await domain.settle();
  expect((await domain.status(held))?.holding).toBeNull();
  domain.host.add({ name: 'vif5.0' });
  domain.host.add({ name: 'vif6.0' });
  await domain.settle();
  expect((await domain.status(held))?.holding).toEqual({
    antispoof: 'addresses',
    because: null,
    macs: ['00:16:3e:00:05:00'],
    networks: ['10.0.0.5', '192.0.2.0/24'],
    controlFrames: false,
  });
  const unheld = { antispoof: 'off', because: 'no-ip', macs: [], networks: [], controlFrames: false };
  expect((await domain.status(open))?.holding).toEqual(unheld);
  domain.backend.set(held, { bridge: 'nowhere' });
  await domain.settle();
  expect(await domain.status(held)).toMatchObject({ state: 'failed', holding: null });
  expect((await domain.status(open))?.holding).toEqual(unheld);
});
