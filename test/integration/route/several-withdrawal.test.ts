import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type LogLine, type Vif, type Vifd } from '../../support/net/domnet.js';
import { Foreign } from '../../support/net/foreign-table.js';
import {
  addressOf,
  bridges,
  configure,
  connectUplink,
  guest,
  type Kind,
  keysOf,
  plugGuest,
  prepareTopologies,
} from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { openTables } from '../../support/net/open-tables.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { attachedTo } from '../../support/net/ping.js';
import { ethernet, etherTypes, ipv4, udp } from '../../support/packets/frames.js';
import { Capture, send } from '../../support/packets/packets.js';
import { until } from '../../support/process/exec.js';
import { aSecond, connected } from '../../support/process/status.js';

// A vif that is taken off is closed first: whatever fails afterwards, it is off the network.

let domnet: Domnet;
let ovs: OpenVswitch;
let config: string;
beforeEach(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  config = `${ovs.config}[log]\nlevel = "debug"\n`;
});
afterEach(async () => {
  await ovs.stop();
  await domnet.stop();
});

const kinds = ['bridge', 'openvswitch', 'route', 'nat'] as const;

/** Keys with which a vif is refused, by whatever topology. */
const wrong = { ip: 'nonsense', mac: 'nonsense', mtu: 'large', script: '/etc/xen/scripts/vif-magic' };

const isDown = async ({ name }: Vif): Promise<boolean> => !(await domnet.link(name))?.flags.includes('UP');

/** The changes of the host made for a vif since this line of the log. */
const changes = (daemon: Vifd, vif: Vif, since: number): unknown[] =>
  daemon.log
    .slice(since)
    .filter((line: LogLine) => line.msg === 'host change' && line.vif === vif.name)
    .map(({ action }) => action);

describe.each(kinds)('%s', (kind) => {
  test('a wrong key takes the vif off, its link first, and not its neighbours', async () => {
    const daemon = await domnet.vifd({ config });
    const vif = await guest(domnet, kind, 5);
    await daemon.logged('vif attached', vif.name);
    const beside = await Neighbours.of(daemon, domnet, kind, { ovs });
    for (const [key, value] of Object.entries(wrong)) {
      const before = daemon.log.length;
      await vif.write({ [key]: value });
      await vif.status('error');
      expect(await isDown(vif), `down by a wrong ${key}`).toBe(true);
      expect(changes(daemon, vif, before)[0]).toMatch(down);
      await vif.write({ [key]: keysOf(kind, 5)[key] ?? healthy[key] ?? '' });
      await vif.connected();
    }
    await beside.untouched();
  });

  test('also when dom0 takes it away or deletes it while its netdev is there', async () => {
    const daemon = await domnet.vifd({ config });
    const beside = await Neighbours.of(daemon, domnet, kind, { ovs });
    for (const how of ['asked', 'deleted']) {
      const begun = daemon.log.length;
      const vif = await guest(domnet, kind, 5);
      await until('it to be attached', () =>
        daemon.log.slice(begun).some(({ msg }) => msg === 'vif attached'),
      );
      const before = daemon.log.length;
      if (how === 'asked') await vif.write({ online: '0', state: '6' });
      else await domnet.xenstore.rm(vif.backend);
      await until('its removal', () => daemon.log.slice(before).some(({ msg }) => msg === 'vif removed'));
      expect(await isDown(vif)).toBe(true);
      expect(changes(daemon, vif, before)[0]).toMatch(down);
      await vif.removeNetdev();
    }
    await beside.untouched();
  });
});

/** The netdev is taken down, whatever else is done to it in the same message. */
const down = /^ip link set dev vif5\.0 (.* )?down( |$)/;

/** What the keys are that keysOf leaves to libxl. */
const healthy: Record<string, string> = {
  mac: '00:16:3e:00:05:00',
  mtu: '1500',
  script: '/etc/xen/scripts/vif-bridge',
};

describe('whatever fails afterwards', () => {
  /** Plugs a vif, does something that lets its withdrawal fail, and has it withdrawn. */
  async function closed(kind: Kind, spoil: (vif: Vif, daemon: Vifd) => Promise<unknown>): Promise<Vifd> {
    await openTables(domnet, 'netdev vifd', 'inet vifd');
    const daemon = await domnet.vifd({ config });
    // A bridge of the userspace datapath takes no vif that has addresses to be held to.
    const keys = kind === 'openvswitch' ? {} : { ip: addressOf(kind, { domid: 5 }) };
    const vif = await guest(domnet, kind, 5, keys);
    await daemon.logged('vif attached', vif.name);
    // At once: what is spoilt is not found out before.
    process.kill(daemon.pid, 'SIGSTOP');
    try {
      await spoil(vif, daemon);
      await vif.write({ ip: 'nonsense' });
    } finally {
      process.kill(daemon.pid, 'SIGCONT');
    }
    await vif.status('error');
    expect(await isDown(vif)).toBe(true);
    // Neither does it come up again while the key is wrong.
    await guest(domnet, kind === 'openvswitch' ? 'bridge' : kind, 6);
    expect(await isDown(vif)).toBe(true);
    return daemon;
  }

  /** The same, where all that is gone already is no error: the key's own is told. */
  const told = async (): Promise<void> => {
    const error = await domnet.xenstore.read('backend/vif/5/0/hotplug-error');
    expect(`${error}`).toMatch(/nonsense/);
  };

  test.each([
    ['route', 'route replace 192.0.2.5 dev eth0 metric 2'],
    ['route', 'neighbour delete 192.0.2.5 dev vif5.0'],
    ['route', 'neighbour delete proxy 192.0.2.5 dev eth0'],
    ['route', 'address flush dev vif5.0'],
    ['route', 'link delete eth0'],
    ['nat', 'route replace 10.0.5.1 dev eth0 metric 2'],
    ['bridge', `link delete ${bridges.bridge}`],
  ] as const)('%s: ip %s', async (kind, command) => {
    await closed(kind, async () => {
      await domnet.ip(command);
      if (command.startsWith('link delete eth0')) await connectUplink(domnet);
      if (command.startsWith('link delete xenbr0')) await domnet.addBridge(bridges.bridge);
    });
    await told();
  });

  test.each([
    ['route', 'delete table inet vifd; delete table netdev vifd'],
    ['nat', 'flush ruleset'],
    ['nat', 'flush set inet vifd masqueraded4'],
    ['bridge', 'add chain netdev vifd mine; add rule netdev vifd mine accept'],
    ['route', 'add chain inet vifd mine; add rule inet vifd mine accept'],
    ['nat', 'add rule inet vifd leaving accept'],
    // Their rule holds on to our set, so that it cannot be deleted.
    ['route', 'add chain inet vifd theirs; add rule inet vifd theirs iifname @confined accept'],
  ] as const)('%s: nft %s', async (kind, command) => {
    await closed(kind, () => domnet.exec('nft', [command]));
    await told();
  });

  test('route: a qdisc of others is on the netdev', async () => {
    await closed('route', ({ name }) => domnet.exec('tc', ['qdisc', 'add', 'dev', name, 'clsact']));
    await told();
  });

  test('bridge: our table belongs to another process, which lets nothing be deleted', async () => {
    let foreign: Foreign | undefined;
    await closed('bridge', async () => {
      foreign = await Foreign.table(domnet, 'delete table netdev vifd; ');
    });
    foreign?.end();
  });

  test.each(['SIGTERM', 'SIGSTOP'])('Open vSwitch’s database is away (%s)', async (signal) => {
    await closed('openvswitch', async () => {
      if (signal === 'SIGTERM') await ovs.stopServer();
      else ovs.signalServer('SIGSTOP');
    });
    if (signal === 'SIGTERM') await ovs.startServer();
    else ovs.signalServer('SIGCONT');
    await until('the port to go', async () => (await ovs.bridgeOf('vif5.0')) === undefined);
  });
});

describe('a netdev that is renamed by hand while it is up', () => {
  test.each(kinds.filter((kind) => kind !== 'openvswitch'))(
    '%s: it has its name and its filter back within a second',
    async (kind) => {
      const daemon = await domnet.vifd({ config });
      const listener = await guest(domnet, 'bridge', 6);
      // A name of its own leaves its mark on the netdev; netback's own netdevs are known by their parent device.
      const vif = await guest(domnet, kind, 5, { vifname: 'web0', ip: addressOf(kind, { domid: 5 }) });
      const beside = await Neighbours.of(daemon, domnet, kind);
      const { ifindex } = (await domnet.link('web0')) as { ifindex: number };
      const at = kind === 'bridge' ? '00:16:3e:00:06:00' : 'fe:ff:ff:ff:ff:ff';
      const forged = ethernet(
        at,
        '00:16:3e:00:05:00',
        etherTypes.ip,
        ipv4({ from: '10.99.99.99', to: '10.7.0.6', protocol: 17, id: 1 }, udp(1, 1)),
      );
      for (let round = 0; round < 3; round++) {
        await domnet.ip('link set web0 name nonsense');
        await until(
          'the old name, and the netdev to be up',
          async () => {
            const link = await domnet.link('web0');
            return link?.ifindex === ifindex && link.flags.includes('UP');
          },
          aSecond,
        );
        expect(await domnet.link('nonsense')).toBeUndefined();
        await connected(vif);
        if (kind === 'bridge') await expectStopped(vif, listener, forged);
        else await expectDropped(vif, forged);
      }
      await beside.untouched();
    },
  );

  /** What the guest sends honestly reaches another, and this frame does not. */
  async function expectStopped(vif: Vif, listener: Vif, forged: Buffer): Promise<void> {
    const capture = await Capture.start(await domnet.guestNamespace(listener.domid), 'eth0');
    await until('an honest frame', async () => {
      await send(await domnet.guestNamespace(vif.domid), 'eth0', [forged, honest(vif, listener)]);
      return capture.saw(honest(vif, listener));
    });
    await capture.stop();
    expect(capture.saw(forged)).toBe(false);
  }

  const honest = (from: Vif, to: Vif): Buffer =>
    ethernet(
      `00:16:3e:00:0${to.domid}:00`,
      `00:16:3e:00:0${from.domid}:00`,
      etherTypes.ip,
      ipv4({ from: addressOf('bridge', from), to: addressOf('bridge', to), protocol: 17, id: 2 }, udp(1, 1)),
    );

  /** The filter of the vif counts this frame. */
  async function expectDropped(vif: Vif, frame: Buffer): Promise<void> {
    const dropped = async (): Promise<number> => {
      const { stdout } = await domnet.command('status', vif.name, '--json');
      return (JSON.parse(stdout) as { drops: Record<string, number> }).drops['IPv4 source'] ?? 0;
    };
    const before = await dropped();
    await send(await domnet.guestNamespace(vif.domid), 'eth0', [frame]);
    await until('the drop to be counted', async () => (await dropped()) > before);
  }
});

test('a vif that is refused at birth never was up, and the others are not touched', async () => {
  const daemon = await domnet.vifd({ config });
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  const vif = await plugGuest(domnet, 'bridge', 5, { ip: 'nonsense' });
  await vif.status('error');
  expect(await isDown(vif)).toBe(true);
  expect(changes(daemon, vif, 0)).toEqual([]);
  await vif.write({ ip: addressOf('bridge', vif) });
  await attachedTo(vif, bridges.bridge);
  await vif.connected();
  await configure('bridge', vif);
  await beside.untouched();
});
