import { expectedFrames } from '../support/packets/expected-frames.js';
import { attempts, lastOne, lastUnseen } from '../support/packets/forgeries.js';
import { ipKey, type Parties } from '../support/packets/parties.js';
import { signature } from '../support/packets/signature.js';
import { Capture } from './capture.js';
import type { Guest } from './guest.js';
import { bridge, type NetworkSetup, openvswitch, outer, withSetup } from './network-setups.js';
import type { Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * Scenarios in which a guest sends all frames of the table in docs/operate/security.md, forged and honest, through its own
 * netfront, and what arrives is compared with it, on each topology.
 */
export const attacker = '00:16:3e:00:01:00';
export const listener = '00:16:3e:00:02:00';

/** A namespace in domnet with this MAC, at the other end of `lis0`, which `plug` makes a port; it says nothing itself. */
export const listening = (mac: string, plug: string) => `
  ip netns add lis; ip link add lis0 type veth peer name eth0 address ${mac} netns lis; ip netns exec lis sysctl -qw net.ipv6.conf.all.disable_ipv6=1
  ip link set lis0 up; ip -n lis link set eth0 up; ${plug}`;

/** Sends frames from the guest's eth0 unchanged, one after the other. */
export const send = (guest: Guest, frames: readonly Buffer[]) =>
  guest.run(
    `ip link set eth0 up; sendframes eth0 <<END\n${frames.map((frame) => frame.toString('hex')).join('\n')}\nEND`,
  );

/** A kind of frame, and where it arrived, as the table has it. */
interface Seen {
  readonly what: string;
  readonly at: string;
}

/** Fails with the frames of which the table says something else than what was seen. */
function compare(column: Parameters<typeof expectedFrames>[0], seen: readonly Seen[]): string {
  const said = expectedFrames(column);
  const wrong = seen.filter(({ what, at }) => at !== said.get(what));
  if (wrong.length > 0) throw new Error(wrong.map(({ what, at }) => `${what}: ${at}`).join('; '));
  return `${seen.length} kinds of frames`;
}

const switched = (
  networkSetup: NetworkSetup,
  column: 'on a bridge' | 'on Open vSwitch',
  plug: string,
): Scenario => ({
  name: `${networkSetup.name}: a guest that forges`,
  only: 'vifd',
  run: (host) =>
    withSetup(host, networkSetup, async () => {
      const parties: Parties = { from: attacker, to: listener };
      await host.domnet(listening(listener, plug));
      const guest = await host.resident([
        [networkSetup.vif, `mac=${attacker},ip=${ipKey}`].filter((part) => part !== '').join(','),
      ]);
      await guest.connected();
      const capture = await Capture.start(host, 'lis', 'eth0');
      const rows = attempts(parties);
      try {
        const last = [lastOne(parties), lastUnseen(parties)];
        await send(guest, [...rows.map(({ frame }) => frame), ...last]);
        await host.until('the last frames', () => last.every((frame) => capture.saw(frame)));
      } finally {
        capture.stop();
        await host.domnet('ip link del lis0; ip netns del lis');
      }
      return compare(
        column,
        rows.map(({ what, frame }) => ({ what, at: capture.saw(frame) ? 'arrived' : 'dropped' })),
      );
    }),
});

/** What a vif's filter lets in to the driver domain goes, in a copy, to the namespace `spy`. */
const spyOn = (netdev: string) => `
  ip netns add spy; ip link add spy0 up type veth peer name eth0 netns spy; ip -n spy link set eth0 up
  nft "add table netdev spy; add chain netdev spy in { type filter hook ingress device \\"${netdev}\\" priority 0; }; add rule netdev spy in dup to \\"spy0\\""`;
const noSpy = 'nft delete table netdev spy; ip link del spy0; ip netns del spy';

/** The places at which each frame arrives: in the driver domain, at another guest, at a host beyond the uplink. */
async function arrivals(host: XenHost, from: Guest, to: Guest): Promise<Seen[]> {
  const places = new Map<string, Set<string>>();
  const targets = [
    { name: 'guest', of: {}, watch: () => Capture.forGuest(host, to.netdev(0)) },
    {
      name: 'outside',
      of: { other: outer.address, other6: outer.address6 },
      watch: () => Capture.start(host, 'out', 'eth0'),
    },
  ];
  await host.domnet(spyOn(from.netdev(0)));
  try {
    for (const { name, of, watch } of targets) {
      const parties = { from: attacker, to: 'fe:ff:ff:ff:ff:ff', ...of };
      const frames = attempts(parties);
      const last = lastOne(parties);
      const inside = await Capture.start(host, 'spy', 'eth0');
      const there = await watch();
      const seen = () => new Set(there.frames.filter((hex) => hex !== 'ready').map(signature));
      try {
        await send(from, [...frames.map(({ frame }) => frame), last]);
        await host.until('the last frame in domnet', () => inside.saw(last));
        await host.until(`the last frame at ${name}`, () => seen().has(signature(last.toString('hex'))));
      } finally {
        inside.stop();
        there.stop();
      }
      const arrived = seen();
      for (const { what, frame } of frames) {
        const at = places.get(what) ?? new Set();
        if (inside.saw(frame)) at.add('domain');
        if (arrived.has(signature(frame.toString('hex')))) at.add(name);
        places.set(what, at);
      }
    }
  } finally {
    await host.domnet(noSpy);
  }
  return [...places].map(([what, at]) => ({ what, at: [...at].sort().join(', ') || 'dropped' }));
}

/** Sends all of the table from one routed guest, to another and to the outside. @returns how many kinds */
export async function forgeRouted(
  host: XenHost,
  [from, to]: readonly [Guest, Guest],
  column: 'vif-route' | 'vif-nat',
): Promise<string> {
  return compare(column, await arrivals(host, from, to));
}

export const forging: readonly Scenario[] = [
  switched(bridge, 'on a bridge', 'ip link set lis0 master xenbr0'),
  switched(openvswitch, 'on Open vSwitch', 'ovs-vsctl add-port ovsbr0 lis0'),
];
