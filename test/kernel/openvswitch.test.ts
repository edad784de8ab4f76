import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif, type VifSpec } from '../support/domnet.js';
import { exec, until } from '../support/exec.js';
import { FrameListener, OpenVswitch, sendFrame } from '../support/openvswitch.js';

const script = '/etc/xen/scripts/vif-openvswitch';

let domnet: Domnet;
let ovs: OpenVswitch;
let listeners: FrameListener[];

beforeEach(async () => {
  domnet = await Domnet.start();
  ovs = new OpenVswitch(domnet);
  await ovs.start();
  await ovs.addBridge('ovsbr0');
  listeners = [];
});

afterEach(async () => {
  for (const listener of listeners) listener.stop();
  await ovs.stop();
  await domnet.stop();
});

const plug = (domid: number, bridge = 'ovsbr0', keys: VifSpec['keys'] = {}): Promise<Vif> =>
  domnet.plug({ domid, keys: { script, bridge, ...keys } });

const vifd = () => domnet.vifd({ config: ovs.config });

async function listenIn(vif: Vif): Promise<FrameListener> {
  const listener = await FrameListener.in(vif);
  listeners.push(listener);
  return listener;
}

describe('attach', () => {
  test('two guests reach each other; the port says whose it is', async () => {
    await vifd();
    const [one, two] = [await plug(5), await plug(6)];
    await Promise.all([one.connected(), two.connected()]);
    expect(await ovs.bridgeOf('vif5.0')).toBe('ovsbr0');
    expect(await ovs.get('port', 'vif5.0', 'external_ids')).toBe('{vifd=vif5.0}');
    expect(await ovs.get('interface', 'vif5.0', 'external_ids')).toBe(
      '{attached-mac="00:16:3e:00:05:00", iface-id="00:16:3e:00:05:00"}',
    );
    await one.guestIp('address add 10.0.0.5/24 dev eth0');
    await two.guestIp('address add 10.0.0.6/24 dev eth0');
    await one.guestExec('ping', ['-c', '1', '-W', '2', '10.0.0.6']);
  });
});
