import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { Outside } from '../../support/net/outside.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await Outside.connect(domnet, {
    device: 'eth0',
    addresses: ['192.0.2.1/24', '2001:db8::1/64'],
    peer: ['192.0.2.254/24'],
  });
  await domnet.ip('route add default via 192.0.2.254');
});
afterEach(() => domnet.stop());

test.each([
  ['vif-bridge', 'xenbr0'],
  ['vif-nat', undefined],
])(
  '%s: a netdev that is replaced again and again while all around it changes ends as it should be',
  async (script, bridge) => {
    const daemon = await domnet.vifd();
    const keys = { script: `/etc/xen/scripts/${script}`, bridge, ip: '192.0.2.5 2001:db8::5' };
    const vif = await domnet.plug({ domid: 1, keys });
    await vif.connected();
    const guest = await domnet.guestNamespace(1);
    const again = `link delete ${vif.name}
link add ${vif.name} address fe:ff:ff:ff:ff:ff type veth peer name eth0 netns ${guest}\n`;
    const replacing = exec('ip', ['-n', domnet.namespace, '-batch', '-'], { input: again.repeat(25) });
    for (let i = 0; i < 10; i++) {
      await vif.write({ ip: '192.0.2.6' });
      await domnet.exec('nft', ['flush', 'ruleset']);
      await vif.write({ ip: keys.ip });
      await domnet.ip('link set eth0 mtu 1400');
    }
    await replacing;
    await until('nothing left to do', async () => {
      const { stdout } = await domnet.command('plan', vif.name);
      return /^# vif1\.0 is attached\b/m.test(stdout);
    });
    await vif.connected();
    // It came and went, and was never at fault.
    expect(daemon.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
  },
);

test('a bridge or another device with the alias of a vif is not taken for it, before its netdev comes or later', async () => {
  const daemon = await domnet.vifd();
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  await domnet.ip('link set xenbr0 alias vif5.0');
  const vif = await domnet.writeDevice({ domid: 5 });
  // What follows from an alias has been seen when the next vif is connected.
  const seen = await domnet.plug({ domid: 7 });
  await seen.connected();
  await domnet.ip('link add mine up alias vif201.0 type veth peer name mine1');
  await vif.addNetdev();
  await vif.setState(2);
  await vif.connected();
  await domnet.exec('ip', ['link', 'set', 'mine', 'alias', '']);
  const last = await domnet.plug({ domid: 6 });
  await last.connected();
  expect((await domnet.link('mine'))?.flags).toContain('UP');
  expect((await domnet.link('xenbr0'))?.flags).toContain('UP');
  await beside.untouched();
});
