import { execFileSync } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Nftables } from 'node-libnftables';
import { NftTables } from '../../src/host/netfilter/tables.js';
import { parseNetwork } from '../../src/model/address.js';
import type { FilterSpec } from '../../src/model/filter.js';
import type { NftAction } from '../../src/model/nft.js';
import type { VifId } from '../../src/model/vif-id.js';
import { planNft } from '../../src/plan/nft.js';

// Measures what a vif costs in nf_tables, beside none and beside many, and how long that blocks the event loop:
//   unshare --net node --import tsx test/bench/nft.ts [vifs]
// The network namespace is not cleaned up; it ends with the process.

const many = Number(process.argv[2] ?? 1000);
const atOnce = 20;

/** One sample: the duration of a transaction and the CPU time of all threads, in ms. */
interface Sample {
  readonly wall: number;
  readonly cpu: number;
}

const nft = await NftTables.open(() => undefined, { serves: true });
const pairs = Array.from(
  { length: (many + 5 * atOnce) / 2 },
  (_, i) => `link add vif${2 * i + 1}.0 type veth peer name vif${2 * i + 2}.0\n`,
);
execFileSync('ip', ['-batch', '-'], { input: pairs.join('') });

const idOf = (domid: number): VifId => ({ domid, devid: 0 });

function spec(domid: number, routed: boolean): FilterSpec {
  const [high, low] = [domid >> 8, domid & 255];
  const networks = [`10.0.${high}.${low}`, `2001:db8::${domid.toString(16)}`].map(parseNetwork);
  return {
    hold: 'addresses',
    macs: [`00:16:3e:00:${high.toString(16).padStart(2, '0')}:${low.toString(16).padStart(2, '0')}`],
    controlFrames: false,
    networks: networks.filter((network) => network !== undefined),
    tagged: false,
    reverse: routed,
    protectHost: routed ? { by: 'vif', dhcp: true, ports: [] } : undefined,
  };
}

async function perform(actions: readonly NftAction[]): Promise<Sample> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (const action of actions) await nft.perform(action);
  const used = process.cpuUsage(cpu);
  return { wall: performance.now() - start, cpu: (used.user + used.system) / 1000 };
}

const hold = (domid: number, routed = false): Promise<Sample> => {
  const filter = spec(domid, routed);
  const link = { index: domid, name: `vif${domid}.0` };
  return perform(planNft(idOf(domid), link, { filter, masquerades: [] }, nft.view).hold);
};
const release = (domid: number): Promise<Sample> =>
  perform(
    [planNft(idOf(domid), undefined, { filter: undefined, masquerades: [] }, nft.view).release].filter(
      (action) => action !== undefined,
    ),
  );

async function measure(what: string, domids: readonly number[], work: (domid: number) => Promise<Sample>) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const samples: Sample[] = [];
  delay.enable();
  for (const domid of domids) samples.push(await work(domid));
  delay.disable();
  const median = (of: (sample: Sample) => number): string =>
    (samples.map(of).sort((a, b) => a - b)[samples.length >> 1] ?? 0).toFixed(2);
  // The timer itself fires every millisecond.
  const stood = Math.max(0, delay.percentile(50) / 1e6 - 1).toFixed(2);
  console.log(`| ${what} | ${median(({ wall }) => wall)} | ${median(({ cpu }) => cpu)} | ${stood} |`);
}

let next = 1;
const more = (count: number): number[] => Array.from({ length: count }, () => next++);

// Warm-up, so that the engine has compiled the code that is measured.
for (let round = 0; round < 4; round++) {
  const warm = more(atOnce);
  for (const domid of warm) await hold(domid, round % 2 === 1);
  for (const domid of warm) await release(domid);
  next -= atOnce;
}
console.log('| | ms | CPU ms | event loop late by, ms |\n|---|---:|---:|---:|');
const [first = 1] = more(1);
await measure('the first vif, and the rules', [first], (domid) => hold(domid));
const few = more(atOnce);
await measure('a vif on a bridge beside none', few, (domid) => hold(domid));
await measure('its removal', few, release);
const routed = more(atOnce);
await measure('a routed vif beside none', routed, (domid) => hold(domid, true));
await measure('its removal', routed, release);
for (const domid of more(many - 1)) await hold(domid);
const beside = more(atOnce);
await measure(`a vif on a bridge beside ${many}`, beside, (domid) => hold(domid));
await measure('its removal', beside, release);
const besides = more(atOnce);
await measure(`a routed vif beside ${many}`, besides, (domid) => hold(domid, true));
await measure('its removal', besides, release);

/** The CPU time of some work, in ms. */
async function cpuOf(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
const held = [...nft.view.owners()].map((name) => Number(/\d+/.exec(name)));
const observing = await cpuOf(() => {
  for (const domid of held) {
    const link = { index: domid, name: `vif${domid}.0` };
    const { hold, release } = planNft(
      idOf(domid),
      link,
      { filter: spec(domid, false), masquerades: [] },
      nft.view,
    );
    if (hold ?? release) throw new Error(`vif${domid}.0 is not as it should be`);
  }
});
const drops = await cpuOf(() => nft.drops());
const start = await cpuOf(async () => (await NftTables.open(() => undefined, { serves: false })).close());
const library = new Nftables();
const listing = await cpuOf(() => library.run('list table netdev vifd'));
library.close();
nft.close();
console.log(`
CPU time with ${held.length} vifs: observing one ${((observing / held.length) * 1000).toFixed(0)} µs; reading the drops of all ${drops.toFixed(0)} ms;
reading all at a start ${start.toFixed(0)} ms, where "nft list table" takes ${listing.toFixed(0)} ms.`);
