import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif, type VifSpec } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { FrameListener, OpenVswitch, sendFrame } from '../../support/net/openvswitch.js';
import { until } from '../../support/process/exec.js';

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

async function connected(domid: number, bridge?: string, keys?: VifSpec['keys']): Promise<Vif> {
  const vif = await plug(domid, bridge, keys);
  await vif.connected();
  return vif;
}

async function listenIn(vif: Vif): Promise<FrameListener> {
  const listener = await FrameListener.in(vif);
  listeners.push(listener);
  return listener;
}

/** `hotplug-error`, once it begins with this. */
const errorOf = (vif: Vif, beginning: string): Promise<string> =>
  until(`hotplug-error "${beginning}…" of ${vif.name}`, async () => {
    const text = await vif.read('hotplug-error');
    return text?.startsWith(beginning) ? text : undefined;
  });

const portIs = (vif: Vif, column: string, value: string): Promise<unknown> =>
  until(`${column} ${value} of ${vif.name}`, async () => {
    const now = await ovs.get('port', vif.name, column).catch(() => undefined);
    return now === value;
  });

const ofport = (name: string): Promise<string> => ovs.get('interface', name, 'ofport');

describe('a port', () => {
  test('two guests reach each other, and the rows say whose they are', async () => {
    await vifd();
    const [one, two] = await Promise.all([connected(5), connected(6, 'ovsbr0', { mtu: '1400' })]);
    expect(await ovs.bridgeOf('vif5.0')).toBe('ovsbr0');
    expect(await ovs.get('port', 'vif5.0', 'external_ids')).toMatch(/^\{vifd=vif5.0, vifd-ifindex="\d+"\}$/);
    expect(await ovs.get('interface', 'vif5.0', 'external_ids')).toBe(
      '{attached-mac="00:16:3e:00:05:00", iface-id="00:16:3e:00:05:00"}',
    );
    expect(await domnet.link('vif5.0')).toMatchObject({ address: 'fe:ff:ff:ff:ff:ff', mtu: 1500 });
    expect(await domnet.link('vif6.0')).toMatchObject({ mtu: 1400 });
    expect((await domnet.link('vif5.0'))?.flags).toContain('UP');
    await one.guestIp('address add 10.0.0.5/24 dev eth0');
    await two.guestIp('address add 10.0.0.6/24 dev eth0');
    await one.guestExec('ping', ['-c', '1', '-W', '5', '10.0.0.6']);
  });

  test('is named as dom0 names the netdev, and says the name and uuid of the guest where they can be read', async () => {
    await domnet.xenstore.writeMany([
      ['/local/domain/7/name', "anna's vm"],
      ['/local/domain/7/vm', '/vm/0aab3ba4-fd65-4bb0-8a8e-7d2a4d06a5a5'],
    ]);
    await vifd();
    await connected(7, 'ovsbr0', { vifname: 'anna0' });
    expect(await ovs.get('port', 'anna0', 'external_ids:vifd')).toBe('vif7.0');
    expect(await ovs.get('interface', 'anna0', 'external_ids:xen-vm-name')).toBe('"anna\'s vm"');
    expect(await ovs.get('interface', 'anna0', 'external_ids:xen-vm-uuid')).toBe(
      '"0aab3ba4-fd65-4bb0-8a8e-7d2a4d06a5a5"',
    );
  });

  test('goes with the vif', async () => {
    const daemon = await vifd();
    const beside = await Neighbours.of(daemon, domnet, 'openvswitch', { ovs });
    const vif = await connected(5);
    await vif.unplug();
    expect(await ovs.vsctl('list-ports ovsbr0')).toBe('vif201.0\nvif202.0');
    await beside.untouched();
  });

  test('follows a netdev that netback made anew', async () => {
    await vifd();
    const vif = await connected(5);
    const other = await connected(6);
    const listener = await listenIn(other);
    await vif.removeNetdev();
    await until('the loss to be noticed', async () => (await domnet.link('vif5.0')) === undefined);
    await vif.addNetdev();
    await listener.receives('- again', () => sendFrame(vif, '-', 'again'));
    await vif.connected();
  });

  test('is made without a Linux bridge holding the netdev, and left for one', async () => {
    await domnet.addBridge('xenbr0');
    await vifd();
    const vif = await domnet.plug({ domid: 5 });
    await vif.connected();
    await vif.write({ script, bridge: 'ovsbr0' });
    await until('the port', async () => (await ovs.bridgeOf('vif5.0')) === 'ovsbr0');
    await until('no master', async () => (await domnet.link('vif5.0'))?.master === undefined);
    await vif.write({ script: '/etc/xen/scripts/vif-bridge', bridge: 'xenbr0' });
    await until('the bridge', async () => (await domnet.link('vif5.0'))?.master === 'xenbr0');
    expect(await ovs.bridgeOf('vif5.0')).toBeUndefined();
  });
});

describe('VLANs', () => {
  test('a tag parts guests that have it from those that have not', async () => {
    await vifd();
    const [one, two, three, trunk] = await Promise.all([
      connected(5, 'ovsbr0.10'),
      connected(6, 'ovsbr0.10'),
      connected(7, 'ovsbr0.20'),
      connected(8, 'ovsbr0:10:20'),
    ]);
    const [atTwo, atThree, atTrunk] = await Promise.all([two, three, trunk].map(listenIn));
    await atTwo?.receives('- ten', () => sendFrame(one, '-', 'ten'));
    await atTrunk?.receives('10 ten', () => sendFrame(one, '-', 'ten'));
    await atThree?.receives('- twenty', () => sendFrame(trunk, 20, 'twenty'));
    // What was sent before this one would have come before it.
    expect(atThree?.arrived).not.toContain('- ten');
    expect(atTwo?.arrived).not.toContain('- twenty');
    expect(await ovs.get('port', 'vif8.0', 'trunks')).toBe('[10, 20]');
  });

  test('a trunk carries its VLANs only', async () => {
    await vifd();
    const [one, trunk] = await Promise.all([connected(5, 'ovsbr0'), connected(8, 'ovsbr0:10:20')]);
    const atOne = await listenIn(one);
    await atOne.receives('20 marker', async () => {
      await sendFrame(trunk, 30, 'forbidden');
      await sendFrame(trunk, '-', 'forbidden');
      await sendFrame(trunk, 20, 'marker');
    });
    expect(atOne.arrived.filter((line) => line.endsWith('forbidden'))).toEqual([]);
  });

  test('a tag with trunks is the native VLAN', async () => {
    await vifd();
    const [native, access] = await Promise.all([connected(5, 'ovsbr0.10:20'), connected(6, 'ovsbr0.10')]);
    const other = await connected(7, 'ovsbr0.20');
    const [atAccess, atOther] = [await listenIn(access), await listenIn(other)];
    await atAccess.receives('- native', () => sendFrame(native, '-', 'native'));
    await atOther.receives('- tagged', () => sendFrame(native, 20, 'tagged'));
    expect(atOther.arrived).not.toContain('- native');
  });

  test('a fake bridge is its VLAN', async () => {
    await ovs.vsctl('add-br vlan30 ovsbr0 30');
    await vifd();
    await connected(5, 'vlan30');
    expect(await ovs.get('port', 'vif5.0', 'tag')).toBe('30');
    expect(await ovs.bridgeOf('vif5.0')).toBe('vlan30');
  });
});

describe('live changes', () => {
  test('trunks change and no packet is lost', async () => {
    await vifd();
    const [one, two] = await Promise.all([connected(5, 'ovsbr0.10'), connected(6, 'ovsbr0.10')]);
    await one.guestIp('address add 10.0.0.5/24 dev eth0');
    await two.guestIp('address add 10.0.0.6/24 dev eth0');
    await one.guestExec('ping', ['-c', '1', '-W', '5', '10.0.0.6']);
    const pinging = one.guestExec('ping', ['-q', '-c', '200', '-i', '0.002', '-W', '5', '10.0.0.6']);
    await one.write({ bridge: 'ovsbr0.10:20' });
    await portIs(one, 'trunks', '[20]');
    expect(await pinging).toContain(' 0% packet loss');
  });

  test('trunks that change, and nothing else, are those that frames are carried by', async () => {
    await vifd();
    const [one, trunk] = await Promise.all([connected(5, 'ovsbr0'), connected(8, 'ovsbr0:10')]);
    const atOne = await listenIn(one);
    await atOne.receives('10 before', () => sendFrame(trunk, 10, 'before'));
    await trunk.write({ bridge: 'ovsbr0:20' });
    await portIs(trunk, 'trunks', '[20]');
    await atOne.receives('20 after', () => sendFrame(trunk, 20, 'after'));
    await atOne.receives('20 marker', async () => {
      await sendFrame(trunk, 10, 'forbidden');
      await sendFrame(trunk, 20, 'marker');
    });
    expect(atOne.arrived).not.toContain('10 forbidden');
  });

  test('a tag changes in place', async () => {
    const daemon = await vifd();
    const beside = await Neighbours.of(daemon, domnet, 'openvswitch', { ovs });
    const [one, two] = await Promise.all([connected(5, 'ovsbr0.10'), connected(6, 'ovsbr0.20')]);
    const [row, number] = [await ovs.get('port', 'vif5.0', '_uuid'), await ofport('vif5.0')];
    await one.write({ bridge: 'ovsbr0.20:30' });
    await portIs(one, 'tag', '20');
    expect(await ovs.get('port', 'vif5.0', 'vlan_mode')).toBe('native-untagged');
    await one.write({ bridge: 'ovsbr0.20' });
    await portIs(one, 'vlan_mode', '[]');
    expect(await ovs.get('port', 'vif5.0', 'trunks')).toBe('[]');
    expect([await ovs.get('port', 'vif5.0', '_uuid'), await ofport('vif5.0')]).toEqual([row, number]);
    const listener = await listenIn(two);
    await listener.receives('- moved', () => sendFrame(one, '-', 'moved'));
    await beside.untouched();
  });

  test('a vif moves between bridges', async () => {
    await ovs.addBridge('ovsbr1');
    const daemon = await vifd();
    const beside = await Neighbours.of(daemon, domnet, 'openvswitch', { ovs });
    const [one, two] = await Promise.all([connected(5), connected(6, 'ovsbr1')]);
    await one.write({ bridge: 'ovsbr1' });
    await until('the move', async () => (await ovs.bridgeOf('vif5.0')) === 'ovsbr1');
    const listener = await listenIn(two);
    await listener.receives('- moved', () => sendFrame(one, '-', 'moved'));
    await one.connected();
    await beside.untouched();
  });
});

describe('what others did', () => {
  test('a port of ours that is deleted or changed is put right', async () => {
    const daemon = await vifd();
    const beside = await Neighbours.of(daemon, domnet, 'openvswitch', { ovs });
    const vif = await connected(5, 'ovsbr0.10');
    await ovs.vsctl('del-port vif5.0');
    await until('the port', async () => (await ovs.bridgeOf('vif5.0')) === 'ovsbr0');
    await ovs.vsctl('set port vif5.0 tag=99');
    await portIs(vif, 'tag', '10');
    await beside.untouched();
  });

  test('a port of another owner is refused, and taken once it is gone', async () => {
    await ovs.vsctl('add-port ovsbr0 vif5.0');
    await vifd();
    const vif = await plug(5);
    expect(await errorOf(vif, 'attach')).toBe(
      'attach vif5.0 to Open vSwitch bridge ovsbr0: bridge ovsbr0 has a port vif5.0, which vifd did not make; ' +
        'if nothing needs it: ovs-vsctl del-port ovsbr0 vif5.0',
    );
    expect(await ovs.get('port', 'vif5.0', 'external_ids')).toBe('{}');
    await ovs.vsctl('del-port vif5.0');
    await vif.connected();
  });

  test('a port that the stock script made for this vif is adopted as it is', async () => {
    const vif = await plug(5);
    const mac = '-- set interface vif5.0 external-ids:attached-mac="00:16:3E:00:05:00"';
    await ovs.vsctl(`add-port ovsbr0 vif5.0 ${mac}`);
    await vif.write({ 'hotplug-status': 'connected' });
    const before = [await ovs.get('port', 'vif5.0', '_uuid'), await ofport('vif5.0')];
    await vifd();
    expect([await ovs.get('port', 'vif5.0', '_uuid'), await ofport('vif5.0')]).toEqual(before);
    expect(await ovs.get('port', 'vif5.0', 'external_ids')).toMatch(/^\{vifd=vif5.0, vifd-ifindex="\d+"\}$/);
  });

  test('a bridge that is not there is waited for', async () => {
    await vifd();
    const vif = await plug(5, 'ovsbr9');
    expect(await errorOf(vif, 'attach')).toBe(
      'attach vif5.0 to Open vSwitch bridge ovsbr9: no such bridge; those of Open vSwitch are ovsbr0 (vif-openvswitch)',
    );
    await ovs.addBridge('ovsbr9');
    await vif.connected();
    expect(await vif.read('hotplug-error')).toBeUndefined();
  });

  test('a port that ovs-vswitchd cannot take is an error in its words', async () => {
    const daemon = await vifd();
    const beside = await Neighbours.of(daemon, domnet, 'openvswitch', { ovs });
    const vif = await connected(5);
    await ovs.vsctl('set interface vif5.0 type=nonsense');
    const refusal = await errorOf(vif, 'attach');
    expect(refusal).toContain('bridge ovsbr0: could not open network device vif5.0 (');
    // Nothing is left to change, and still it is on no network.
    writeFileSync(join(domnet.dir, 'plan.toml'), ovs.config);
    const planned = await domnet.command('plan', vif.name, '--config', join(domnet.dir, 'plan.toml'));
    expect(planned).toEqual({ status: 1, stdout: `# ${refusal}\n`, stderr: '' });
    await ovs.vsctl('set interface vif5.0 type=""');
    await vif.connected();
    expect(await vif.read('hotplug-error')).toBeUndefined();
    await beside.untouched();
  });
});

describe('restarts', () => {
  test('a daemon that starts again changes nothing, and removes the ports of vifs that are gone', async () => {
    const first = await vifd();
    const [vif, gone] = await Promise.all([connected(5, 'ovsbr0.10'), connected(6)]);
    await first.kill();
    const before = [await ovs.get('port', 'vif5.0', '_uuid'), await ofport('vif5.0')];
    await domnet.xenstore.rm('backend/vif/6');
    await gone.removeNetdev();
    const second = await vifd();
    expect(await ovs.vsctl('list-ports ovsbr0')).toBe('vif5.0');
    expect([await ovs.get('port', 'vif5.0', '_uuid'), await ofport('vif5.0')]).toEqual(before);
    expect(second.log.map(({ msg }) => msg)).toContain('vif adopted');
    expect(await vif.read('hotplug-status')).toBe('connected');
  });

  test('a guest that comes under the number of one that went inherits nothing of its port', async () => {
    const first = await vifd();
    await connected(5, 'ovsbr0.10');
    await ovs.vsctl('set port vif5.0 other_config:priority-tags=always');
    await first.kill();
    await domnet.xenstore.writeMany([['backend/vif/5/0/mac', '00:16:3e:77:77:77']]);
    await vifd();
    expect(await ovs.get('interface', 'vif5.0', 'external_ids:attached-mac')).toBe('"00:16:3e:77:77:77"');
    expect(await ovs.get('port', 'vif5.0', 'other_config')).toBe('{}');
  });

  test('without its database existing vifs stay, new ones wait, and what was missed is done afterwards', async () => {
    const daemon = await vifd();
    const [vif, going, replaced] = await Promise.all([connected(5), connected(6), connected(8)]);
    await ovs.stopServer();
    await daemon.logged('openvswitch database not reachable');
    await replaced.removeNetdev();
    await replaced.addNetdev();
    const late = await plug(7);
    expect(await errorOf(late, 'attach')).toBe(
      `attach vif7.0 to Open vSwitch bridge ovsbr0: database ${ovs.database} not reachable`,
    );
    await going.unplug();
    expect(await vif.read('hotplug-status')).toBe('connected');
    await ovs.startServer();
    await late.connected();
    await until('the removal', async () => (await ovs.bridgeOf('vif6.0')) === undefined);
    const listener = await listenIn(late);
    await listener.receives('- hello', () => sendFrame(vif, '-', 'hello'));
    // ovs-vswitchd, which finds its database after vifd, has to be told of the other netdev by a port that goes and comes.
    await until('the new netdev in the switch', async () => {
      const [{ promiscuity }] = JSON.parse(await domnet.ip('-d -j link show vif8.0'));
      return promiscuity > 0;
    });
    await listener.receives('- again', () => sendFrame(replaced, '-', 'again'));
    const complaints = daemon.log.filter(({ msg }) => msg === 'vif not attached');
    expect(complaints.map(({ vif: name }) => name)).toEqual(['vif7.0']);
  });

  test.each(['found its database', 'started'])(
    'a netdev that is made anew when the switch has just %s has its port made once',
    async (what) => {
      const daemon = await vifd();
      const [vif, beside] = await Promise.all([connected(5), connected(6)]);
      const ports = async () => [
        await ovs.get('port', 'vif5.0', '_uuid'),
        await ovs.get('port', 'vif6.0', '_uuid'),
      ];
      const [old, before] = await ports();
      if (what === 'started') {
        await ovs.stopSwitch();
        await daemon.logged('vif degraded');
        await ovs.startSwitch();
      } else {
        await ovs.stopServer();
        await daemon.logged('openvswitch database not reachable');
        await ovs.startServer();
        await daemon.logged('openvswitch database reached');
      }
      // ovs-vsctl waits for ovs-vswitchd, which looks for its database every 1 to 8 s; vifd looks every second whether it has.
      await until('ovs-vswitchd', () => ovs.vsctl('set open_vswitch . external_ids:seen=1').then(() => true));
      await vif.removeNetdev();
      await vif.addNetdev();
      await until('its new port', async () => {
        const now = await ovs.get('port', 'vif5.0', '_uuid').catch(() => old);
        return now !== old;
      });
      const made = await ports();
      expect(made[1]).toBe(before);
      const listener = await listenIn(beside);
      await listener.receives('- again', () => sendFrame(vif, '-', 'again'));
      await sleep(1500);
      expect(await ports()).toEqual(made);
      await listener.receives('- still', () => sendFrame(vif, '-', 'still'));
    },
  );

  test('a port that is made while ovs-vswitchd does not run is made once, and taken when that starts', async () => {
    const daemon = await vifd();
    const [vif, beside] = await Promise.all([connected(5), connected(6)]);
    const port = () => ovs.get('port', 'vif5.0', '_uuid').catch(() => undefined);
    const old = await port();
    const before = await ovs.get('port', 'vif6.0', '_uuid');
    await ovs.stopServer();
    await daemon.logged('openvswitch database not reachable');
    await ovs.killSwitch();
    await ovs.startServer();
    await daemon.logged('openvswitch database reached');
    await vif.removeNetdev();
    await vif.addNetdev();
    await until('its new port', async () => ![undefined, old].includes(await port()));
    const made = await port();
    await ovs.startSwitch();
    const listener = await listenIn(beside);
    await listener.receives('- again', () => sendFrame(vif, '-', 'again'));
    await sleep(1500);
    expect([await port(), await ovs.get('port', 'vif6.0', '_uuid')]).toEqual([made, before]);
    await listener.receives('- still', () => sendFrame(vif, '-', 'still'));
  });

  test('a database that comes up after the daemon is found', async () => {
    await ovs.stopSwitch();
    await ovs.stopServer();
    const daemon = await vifd();
    expect(daemon.log.filter(({ level }) => level !== 'info')).toEqual([]);
    const vif = await plug(5);
    await errorOf(vif, 'attach vif5.0 to Open vSwitch bridge ovsbr0: database');
    await ovs.startServer();
    await ovs.startSwitch();
    await vif.connected();
  });

  test('without ovs-vswitchd a vif is not connected, and says so in the end', async () => {
    await ovs.stopSwitch();
    await domnet.vifd({ config: `${ovs.config}[netdev]\ntimeout = 1\n` });
    const vif = await plug(5);
    await until('the port', async () => (await ovs.bridgeOf('vif5.0')) === 'ovsbr0');
    expect(await vif.read('hotplug-status')).toBe('');
    expect(await errorOf(vif, 'attach')).toBe(
      'attach vif5.0 to Open vSwitch bridge ovsbr0: ovs-vswitchd did not take the port within 1 s; does it run?',
    );
    await ovs.startSwitch();
    await vif.connected();
    expect(await vif.read('hotplug-error')).toBeUndefined();
  });

  test('a daemon that starts without ovs-vswitchd does not wait for it to let a netdev go', async () => {
    await domnet.addBridge('xenbr0');
    const first = await vifd();
    const [vif] = await Promise.all([connected(5), connected(6)]);
    await first.kill();
    await ovs.stopSwitch();
    await vifd();
    await vif.write({ script: 'vif-bridge', bridge: 'xenbr0' });
    // It waits 2 s for a switch that runs.
    await until('the other bridge', async () => (await domnet.link('vif5.0'))?.master === 'xenbr0', 1500);
    expect(await ovs.vsctl('list-ports ovsbr0')).toBe('vif6.0');
    await ovs.startSwitch();
  });

  test('ovs-vswitchd starts again and the guests reach each other as before', async () => {
    const first = await vifd();
    const [one, two] = await Promise.all([connected(5), connected(6)]);
    await ovs.stopSwitch();
    // One that was not connected waits for the switch, though its port is in the database as it should be.
    await first.kill();
    await one.write({ 'hotplug-status': 'error' });
    await vifd();
    expect(await Promise.all([one, two].map((vif) => vif.read('hotplug-status')))).toEqual([
      'error',
      'connected',
    ]);
    await ovs.startSwitch();
    await one.connected();
    const listener = await listenIn(two);
    await listener.receives('- hello', () => sendFrame(one, '-', 'hello'));
    expect(await one.read('hotplug-status')).toBe('connected');
  });

  test('a database that hangs is given up, and found again', async () => {
    const daemon = await vifd();
    await connected(5);
    ovs.signalServer('SIGSTOP');
    const vif = await plug(6);
    await daemon.logged('openvswitch database not reachable');
    await errorOf(vif, `attach vif6.0 to Open vSwitch bridge ovsbr0: database ${ovs.database} not reachable`);
    // What needs no Open vSwitch does not wait for it.
    await domnet.addBridge('xenbr7');
    const other = await domnet.plug({ domid: 7, keys: { bridge: 'xenbr7' } });
    await other.connected();
    ovs.signalServer('SIGCONT');
    await vif.connected();
  });
});

test('a machine without Open vSwitch is not told of it', async () => {
  await domnet.addBridge('xenbr0');
  const daemon = await domnet.vifd({ config: '[openvswitch]\ndatabase = "unix:/nonexistent/db.sock"\n' });
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  expect(daemon.log.filter((line) => JSON.stringify(line).includes('openvswitch'))).toEqual([]);
});
