import { afterAll, beforeAll, expect, test } from 'vitest';
import { addNetdevs, allConnected } from '../../support/net/crowd.js';
import { Domnet, Vif } from '../../support/net/domnet.js';
import { Counting, type Counts } from '../../support/process/counting.js';

// Work for one vif that grew with the number of vifs shows as a count; a time would tell it on a quiet machine only.

let domnet: Domnet;
let counting: Counting;
const kinds = {
  bridged: (domid: number) => ({ script: '/etc/xen/scripts/vif-bridge', ip: `172.20.0.${domid & 255}` }),
  nat: () => ({ script: '/etc/xen/scripts/vif-nat', bridge: undefined }),
};
type Kind = keyof typeof kinds;
/** The kernel takes up to two seconds to give a device that came up its link-local address, which is news of it. */
const dadMs = 2200;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  counting = await Counting.start(domnet);
});
afterAll(() => domnet.stop());

/** Attaches vifs, by turns bridged and behind NAT. @returns how often connections were listed for them */
async function surround(from: number, count: number): Promise<number> {
  const vifs = Array.from({ length: count }, (_, i) => new Vif(domnet, from + i, 0));
  // With a carrier: the bridge's would come and go with the vif that is counted.
  await addNetdevs(vifs, { carrier: true });
  await Promise.all(
    vifs.map(({ domid }) => domnet.writeDevice({ domid, keys: kinds[domid % 2 ? 'nat' : 'bridged'](domid) })),
  );
  await allConnected(vifs);
  const spans = await counting.quiet(dadMs);
  return spans.filter(({ kind }) => kind === 'conntrack').length;
}

/** What a vif costs when it is born, and when it dies. */
async function life(kind: Kind): Promise<{ birth: Counts; death: Counts }> {
  let vif: Vif | undefined;
  const birth = await counting.during(async () => {
    vif = await domnet.plug({ domid: 5, keys: kinds[kind](5) });
    await vif.connected();
    await vif.setState(4);
  });
  const death = await counting.during(async () => vif?.unplug());
  return { birth, death };
}

/** Requests that take a vif off the network while its netdev is there. */
const taken = { bridged: 2, nat: 3 };
/** Keys of which the events come in two parts are read twice, and the vif is looked at once more for it. */
const inParts = { looks: 3, messages: 15 };

test('a birth and a death take as many looks, messages, requests and transactions beside 200 as beside 10', async () => {
  await surround(100, 10);
  const few = { bridged: await life('bridged'), nat: await life('nat') };
  // A connection, without which there would be nothing to list.
  await domnet.exec('ping', ['-q', '-c1', '127.0.0.1']);
  const listings = await surround(110, 190);
  const many = { bridged: await life('bridged'), nat: await life('nat') };
  for (const kind of ['bridged', 'nat'] as const)
    for (const end of ['birth', 'death'] as const) {
      const [before, after] = [few[kind][end], many[kind][end]];
      expect({ kind, end, nft: after.nft }).toEqual({ kind, end, nft: before.nft });
      // Of a netdev that has gone by then there is nothing to take away.
      expect(after.netlink).toBeLessThanOrEqual(end === 'birth' ? before.netlink : taken[kind]);
      expect(after.looks - before.looks).toBeLessThanOrEqual(inParts.looks);
      expect(after.messages - before.messages).toBeLessThanOrEqual(inParts.messages);
    }
  // A vif that is bridged: its keys, its netdev, its states, and its status in a transaction.
  expect(many.bridged.birth.messages).toBeLessThanOrEqual(19 + inParts.messages);
  expect(many.bridged.death.messages).toBeLessThanOrEqual(14 + inParts.messages);
  expect(many.bridged.birth.nft).toBe(1);
  // Each listing goes through the connections of all of the machine's namespaces.
  expect(listings).toBeGreaterThan(0);
  expect(listings).toBeLessThan(95);
});
