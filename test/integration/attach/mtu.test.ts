import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import {
  addressOf,
  configure,
  connectUplink,
  type Kind,
  keysOf,
  pingFrom,
  reaches,
} from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { answers } from '../../support/net/ping.js';
import { exec, until } from '../../support/process/exec.js';
import { connected, missing } from '../../support/process/status.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet);
  await domnet.addBridge('xenbr0');
});

afterEach(() => domnet.stop());

/** The device below a limited vif's. */
const below = ({ domid }: Vif): string => `below${domid}`;

/**
 * A guest whose frontend has no scatter/gather. A macvlan refuses what is more than the MTU of the device below it, with
 * netback's error, and has a carrier while the guest's end is up.
 */
async function limited(kind: Kind, domid: number, keys: Record<string, string> = {}): Promise<Vif> {
  const vif = await domnet.writeDevice({ domid, keys: { ...keysOf(kind, domid), ...keys } });
  const inside = await domnet.guestNamespace(domid);
  const mac = await vif.read('mac');
  await domnet.ip(`link add ${below(vif)} up type veth peer name eth0 address ${mac} netns ${inside}`);
  await exec('ip', ['-n', inside, 'link', 'set', 'eth0', 'up']);
  await domnet.ip(`link add ${vif.name} link ${below(vif)} type macvlan mode passthru`);
  await vif.setState(2);
  await vif.connected();
  await configure(kind, vif);
  return vif;
}

/** A frontend with scatter/gather connects in the place of the one before. */
async function another(vif: Vif): Promise<void> {
  await vif.guestIp('link set eth0 mtu 9000');
  await domnet.ip(`link set ${below(vif)} mtu 9000`);
}

const mtuOf = async (vif: Vif): Promise<number | undefined> => (await domnet.link(vif.name))?.mtu;

const lacking = [/the MTU 9000: .* refuses it and keeps 1500/];

describe.each(['bridge', 'route'] as const)('%s: an MTU that the netdev refuses', (kind) => {
  test('leaves a vif on the network with the one it has, said once, until another frontend comes', async () => {
    const daemon = await domnet.vifd();
    const beside = await Neighbours.of(daemon, domnet, kind);
    const fresh = await limited(kind, 5, { mtu: '9000' });
    const raised = await limited(kind, 6);
    await missing([fresh], lacking);
    await missing([raised], []);
    await reaches(fresh, addressOf(kind, raised));

    // A running vif whose key is raised stays as it is.
    const ping = await pingFrom(raised, addressOf(kind, fresh));
    await raised.write({ mtu: '9000' });
    await missing([raised], lacking);
    await answers(ping, 3);
    for (const vif of [fresh, raised]) {
      await connected(vif);
      expect(await vif.read('hotplug-error')).toBeUndefined();
      expect(await mtuOf(vif)).toBe(1500);
    }

    for (const vif of [fresh, raised]) await another(vif);
    await raised.setState(4);
    await until('the MTU', async () => (await mtuOf(raised)) === 9000);
    await missing([raised], []);
    await answers(ping, 3);
    expect((await ping.stop()).lost, 'packets lost of a vif that stayed up').toBe(0);
    // Without a word of xenstore by the carrier alone.
    await fresh.guestIp('link set eth0 down');
    await fresh.guestIp('link set eth0 up');
    await until('the MTU', async () => (await mtuOf(fresh)) === 9000);
    await missing([fresh], []);
    const told = (vif: Vif) =>
      daemon.log.filter(({ msg, vif: of }) => of === vif.name && msg === 'vif degraded');
    expect([told(fresh).length, told(raised).length]).toEqual([1, 1]);
    expect(daemon.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
    await beside.untouched();
  });
});
