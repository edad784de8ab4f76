import type { Guest } from './guest.js';
import { openvswitch, withSetup } from './network-setups.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * A scenario about [[group]] on a switch whose datapath nf_tables sees, which the one of the integration tests is not. On the other
 * topologies they have packets of their own (test/integration/filter/groups).
 */

const names = ['one', 'two', 'three'] as const;
const macOf = (n: number) => `00:16:3e:00:02:0${n}`;

const group = (name: string, talk: string, members: readonly number[]): string =>
  `[[group]]\nname = "${name}"\ntalk = "${talk}"\nmembers = [${members.map((n) => `{ mac = "${macOf(n)}" }`).join(', ')}]`;

/**
 * Who reaches whom, as `one two`, each of them the switch's own address besides.
 * @param afresh whether they have to ask by ARP for each other first
 */
async function met(guests: readonly Guest[], afresh: boolean): Promise<string> {
  const pairs: string[] = [];
  for (const [n, guest] of guests.entries()) {
    const others = guests.flatMap((other, m) => (m === n ? [] : [[names[m], other.address(0)] as const]));
    const pings = [['switch', '10.9.0.1'] as const, ...others].map(
      ([name, address]) => `ping -q -c 2 -i 0.2 -W 2 -I eth0 ${address} >/dev/null && echo meets ${name}`,
    );
    const forget = afresh ? 'ip link set eth0 down; ip link set eth0 up; sleep 1; ' : '';
    const said = await guest.run(`${forget}${pings.join('; ')}; true`);
    mustBe(`whether ${names[n]} reaches the switch`, said.includes('meets switch'), true);
    for (const [name] of others) if (said.includes(`meets ${name}`)) pairs.push(`${names[n]} ${name}`);
  }
  return pairs.join(', ');
}

/** Has the groups in force, and expects that these meet and no others, with the addresses they know and after asking anew. */
async function within(
  host: XenHost,
  guests: readonly Guest[],
  toml: string,
  expected: string,
): Promise<void> {
  await host.configure(toml);
  await host.becomes('who meets whom', expected, () => met(guests, false), 120_000);
  mustBe('who meets whom after asking by ARP', await met(guests, true), expected);
}

export const groups: readonly Scenario[] = [
  {
    name: 'Open vSwitch: guests of a group, of none, and one that meets no other',
    only: 'vifd',
    run: (host) =>
      withSetup(host, openvswitch, async () => {
        const guests = [
          await host.resident([]),
          await host.guest({ vifs: [] }),
          await host.guest({ vifs: [] }),
        ] as const;
        for (const guest of guests) await guest.run('true');
        for (const [n, guest] of guests.entries())
          await host.attach(guest, `${openvswitch.vif},mac=${macOf(n)}`);
        for (const guest of guests) {
          await guest.connected([0], 240_000);
          await guest.reaches();
        }
        const all = 'one two, one three, two one, two three, three one, three two';
        mustBe('who meets whom without groups', await met(guests, true), all);
        await within(host, guests, group('a', 'group', [0, 1]), 'one two, two one');
        const status = await host.domnet(`vifd status ${guests[0].netdev(0)}`);
        mustBe('whether drops are counted', /another group [1-9]/.test(status), true);
        // One leaves it, and another joins, while they run.
        await within(host, guests, group('a', 'group', [0, 2]), 'one three, three one');
        await within(host, guests, group('lone', 'none', [1]), 'one three, three one');
        await within(host, guests, '', all);
        return status.split('\n').find((line) => line.startsWith('dropped:'));
      }),
  },
];
