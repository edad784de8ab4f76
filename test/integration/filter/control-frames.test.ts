import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { Outside } from '../../support/net/outside.js';
import { pingBetween } from '../../support/net/ping.js';
import { controlFrames, harmlessFrame, llc } from '../../support/packets/control-frames.js';
import { ethernet, etherTypes, vlanTag } from '../../support/packets/frames.js';
import { Capture, send } from '../../support/packets/packets.js';
import { until } from '../../support/process/exec.js';

/*
 * The frames by which switches speak, from guests that are held to nothing, on a bridge that would forward all that a bridge can
 * be made to forward. What the LAN sends is heard as before.
 */

let domnet: Domnet;
let daemon: Vifd;
/** Without `ip`, with one and `antispoof = "off"`, and a switch. */
let bare: Vif;
let off: Vif;
let switching: Vif;
let lan: Outside;

const tables = `[[vif]]
ip = "10.7.0.2"
antispoof = "off"
[[vif]]
mac = "00:16:3e:00:03:00"
control_frames = true
`;

beforeAll(async () => {
  domnet = await Domnet.start();
  // All but 0 to 2, which the kernel keeps; 0 it forwards where the bridge has no spanning tree.
  await domnet.addBridge('xenbr0');
  await domnet.ip('link set xenbr0 type bridge group_fwd_mask 0xfff8');
  lan = await Outside.connect(domnet, { device: 'lan9', addresses: [], peer: ['10.7.0.90/24'], number: 90 });
  await domnet.ip('link set lan9 master xenbr0');
  daemon = await domnet.vifd({ config: tables });
  bare = await domnet.plug({ domid: 1 });
  off = await domnet.plug({ domid: 2, keys: { ip: '10.7.0.2' } });
  switching = await domnet.plug({ domid: 3 });
  for (const vif of [bare, off, switching]) {
    await vif.connected();
    await vif.guestIp(`address add 10.7.0.${vif.domid}/24 dev eth0`);
  }
});
afterAll(() => domnet.stop());

/** Spanning tree, LLDP in and without a tag, LACP, CDP, PVST+, CGMP, MVRP, GVRP in a tag, CFM, EAPS, FDP, G.8032, MRP, from this MAC. */
function frames(from: string): Buffer[] {
  return [
    ...controlFrames(from),
    ethernet('01:00:0c:dd:dd:dd', from, 38, llc('aaaa0300000c2001')),
    ethernet('01:80:c2:00:00:21', from, 0x88f5, llc('000102')),
    ethernet('01:80:c2:00:00:21', from, etherTypes.vlan, vlanTag(5, 38, llc('424203'))),
    ethernet('01:80:c2:00:00:37', from, 0x8902, llc('e001')),
    ethernet('00:e0:2b:00:00:04', from, 38, llc('aaaa0300e02b00bb')),
    ethernet('01:e0:52:cc:cc:cc', from, 38, llc('aaaa0300e0522000')),
    ethernet('01:19:a7:00:00:01', from, 0x8902, llc('0028')),
    ethernet('01:15:4e:00:00:02', from, 0x88e3, llc('0001')),
  ];
}

/** Which of these frames, by their numbers, come from one namespace's device to another's. */
async function arrived(
  from: { namespace: string; device: string },
  mac: string,
  to: Capture,
): Promise<number[]> {
  const sent = frames(mac);
  await send(from.namespace, from.device, [...sent, harmlessFrame(mac)]);
  await to.arrival(harmlessFrame(mac));
  return [...sent.keys()].filter((i) => to.saw(sent[i] as Buffer));
}

const all = [...frames('').keys()];
const guest = async ({ domid }: Vif) => ({ namespace: await domnet.guestNamespace(domid), device: 'eth0' });
const macOf = ({ domid }: Vif): string => `00:16:3e:00:0${domid}:00`;

it('leave no guest but one that is configured as a switch, and come from the LAN as before', async () => {
  const outside = await Capture.start(lan.namespace, 'lan0');
  const neighbour = await Capture.start((await guest(off)).namespace, 'eth0');
  const here = await Capture.start(domnet.namespace, 'lan9');
  const ping = await pingBetween(bare, off);
  try {
    expect(await arrived(await guest(bare), macOf(bare), outside)).toEqual([]);
    expect(await arrived(await guest(off), macOf(off), outside)).toEqual([]);
    expect(frames(macOf(bare)).filter((frame) => neighbour.saw(frame))).toEqual([]);
    expect(await arrived(await guest(switching), macOf(switching), outside)).toEqual(all);
    // A program that listens at the uplink, and the guests behind the bridge.
    const switchMac = '02:00:00:00:00:99';
    const of = { namespace: lan.namespace, device: 'lan0' };
    expect(await arrived(of, switchMac, here)).toEqual(all);
    expect(await arrived(of, switchMac, neighbour)).toEqual(all);
    const { stdout } = await domnet.command('status', bare.name, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ holding: { antispoof: 'off', controlFrames: false } });
    expect((await ping.stop()).lost).toBe(0);
  } finally {
    await Promise.all([outside, neighbour, here].map((capture) => capture.stop()));
  }
});

it('leave where [antispoof] control_frames allows it, and a vif that is held to nothing has no table then', async () => {
  writeFileSync(join(domnet.dir, 'vifd.toml'), `[antispoof]\ncontrol_frames = true\n${tables}`);
  daemon.hangUp();
  await until('no table', async () => (await domnet.exec('nft', ['list', 'ruleset'])) === '');
  const outside = await Capture.start(lan.namespace, 'lan0');
  try {
    for (const vif of [bare, off]) expect(await arrived(await guest(vif), macOf(vif), outside)).toEqual(all);
  } finally {
    await outside.stop();
  }
});
