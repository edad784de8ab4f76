import { controlFrames, harmlessFrame } from '../support/packets/control-frames.js';
import { Capture } from './capture.js';
import { attacker, listener, listening, send } from './forging.js';
import type { Guest } from './guest.js';
import { bridge, type NetworkSetup, openvswitch, withSetup } from './network-setups.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * Scenarios about what a switch in the driver domain passes from guests that are held to nothing: control frames, and
 * connections to the domain's own services at the switch's address.
 */

/** How many control frames of the guest come to the LAN; one that is none comes after them. */
async function pass(host: XenHost, guest: Guest): Promise<number> {
  const capture = await Capture.start(host, 'lis', 'eth0');
  const frames = controlFrames(attacker);
  const last = harmlessFrame(attacker);
  try {
    await send(guest, [...frames, last]);
    await host.until('the last frame', () => capture.saw(last));
  } finally {
    capture.stop();
  }
  return frames.filter((frame) => capture.saw(frame)).length;
}

/** Whether sshd of domnet greets the guest at the switch's address. */
const greets = async (guest: Guest): Promise<boolean> =>
  (await guest.run('sleep 2 | timeout 10 nc -w 2 10.9.0.1 22 2>/dev/null | head -c 3; true')).includes('SSH');

const switched = (
  networkSetup: NetworkSetup,
  section: 'bridge' | 'openvswitch',
  plug: string,
  more?: (host: XenHost, guest: Guest) => Promise<string>,
): Scenario => ({
  name: `${networkSetup.name}: control frames, the domain's services, from a guest without ip and a held one`,
  only: 'vifd',
  fault: true,
  run: (host) =>
    withSetup(host, networkSetup, async () => {
      await host.domnet(listening(listener, plug));
      try {
        const vif = (keys: string) => [networkSetup.vif, keys].filter((part) => part !== '').join(',');
        const [bare, held] = [await host.resident([]), await host.guest({ vifs: [] })];
        for (const guest of [bare, held]) await guest.run('true');
        await host.attach(bare, vif(`mac=${attacker}`));
        await host.attach(held, vif('ip=@'));
        for (const guest of [bare, held]) await guest.connected([0], 240_000);
        await bare.works([0], networkSetup);
        await held.works([0], networkSetup);
        const both = [bare, held];
        mustBe('control frames that pass', await pass(host, bare), 0);
        for (const guest of both)
          mustBe(`${guest.name}: whether it reaches a service`, await greets(guest), true);
        // One of them goes on meanwhile, to the other and through the domain.
        const stop = await held.traffic(bare.address(0));
        await host.configure(`[${section}]\nprotect_host = true`);
        for (const guest of both) {
          await host.becomes(`${guest.name}: whether it does with protect_host`, false, () => greets(guest));
          await guest.reaches();
        }
        await host.configure(`[${section}]\nprotect_host = true\nservices = ["tcp/22"]`);
        for (const guest of both)
          await host.becomes(`${guest.name}: whether it does with services`, true, () => greets(guest));
        const pings = await stop();
        await host.configure('[antispoof]\ncontrol_frames = true');
        // That they could have come.
        let passed = 0;
        await host.becomes('whether they pass where they may', true, async () => {
          passed = await pass(host, bare);
          return passed >= 5;
        });
        const said = await more?.(host, held);
        return [`of control frames 0, with control_frames = true ${passed} of 7 passed`, pings, said]
          .filter(Boolean)
          .join('; ');
      } finally {
        await host.domnet('ip link del lis0; ip netns del lis; true');
      }
    }),
});

/** A held vif on a switch whose flows may be in tc, before the filter. */
async function offloaded(host: XenHost, guest: Guest): Promise<string> {
  await host.domnet('ovs-vsctl set Open_vSwitch . other_config:hw-offload=true');
  const path = `${guest.backend(0)}/hotplug-error`;
  const refused = async (by: string): Promise<void> => {
    await host.until(`a refusal: ${by}`, () => host.store.get(path)?.includes(by));
    const down = await host.domnet(`ip -br link show ${guest.netdev(0)}`);
    if (!/ DOWN /.test(down)) throw new Error(`up with ${by}: ${down}`);
  };
  try {
    await refused('other_config:hw-offload=true');
    await host.domnet('ovs-vsctl remove Open_vSwitch . other_config hw-offload');
    await refused('the hw-offload that ovs-vswitchd still has on');
    await host.domnet(`systemctl restart ${host.agent.unit}`);
    await refused('the hw-offload that ovs-vswitchd still has on');
  } finally {
    await host.domnet(
      'ovs-vsctl remove Open_vSwitch . other_config hw-offload; systemctl restart ovs-vswitchd',
    );
    await host.until('it to heal', () => guest.status(0) === 'connected' && !host.store.get(path), 120_000);
    await guest.reaches();
  }
  return 'refused with hw-offload, and after it until ovs-vswitchd was restarted';
}

export const switches: readonly Scenario[] = [
  switched(
    {
      ...bridge,
      make: 'ip link set xenbr0 type bridge group_fwd_mask 0xfff8',
      unmake: 'ip link set xenbr0 type bridge group_fwd_mask 0',
    },
    'bridge',
    'ip link set lis0 master xenbr0',
  ),
  switched(
    {
      ...openvswitch,
      make: `${openvswitch.make} && ovs-vsctl set bridge ovsbr0 other_config:forward-bpdu=true`,
    },
    'openvswitch',
    'ovs-vsctl add-port ovsbr0 lis0',
    offloaded,
  ),
];
