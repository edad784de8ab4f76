import { expect, test } from 'vitest';
import { begin, isConnected, type Model, type Step, serving, vifOf } from '../../walk/model.js';
import { probes } from '../../walk/probes.js';
import { Random } from '../../walk/random.js';
import { draw, everything, stepKinds } from '../../walk/schedule.js';
import { about, after, possible } from '../../walk/steps.js';

/** A schedule of so many steps, and the worlds it goes through, the first one included. */
function schedule(seed: number, steps: number): { steps: Step[]; models: Model[] } {
  const random = new Random(seed);
  const models = [begin(12)];
  const taken: Step[] = [];
  while (taken.length < steps) {
    const model = models.at(-1) as Model;
    const step = draw(random, model);
    taken.push(step);
    models.push(after(model, step));
  }
  return { steps: taken, models };
}

test('a seed is one schedule, another is another', () => {
  expect(schedule(5, 300).steps).toEqual(schedule(5, 300).steps);
  expect(schedule(6, 300).steps).not.toEqual(schedule(5, 300).steps);
});

test('every kind of step comes, and only in worlds where it is possible', () => {
  const { steps, models } = schedule(1, 3000);
  expect(new Set(steps.map((step) => step.do))).toEqual(new Set(stepKinds));
  expect(steps.filter((step, at) => !possible(step, models[at] as Model))).toEqual([]);
});

test('only the kinds, topologies and details that are wanted are drawn', () => {
  const random = new Random(3);
  let model = begin(8);
  const choice = {
    ...everything,
    kinds: ['come', 'go', 'rewrite'],
    topologies: ['nat'],
    skip: ['"mtu"'],
  } as const;
  for (let i = 0; i < 300; i++) {
    const step = draw(random, model, choice);
    expect(choice.kinds).toContain(step.do);
    expect(JSON.stringify(step)).not.toMatch(/"mtu"|bridge/);
    model = after(model, step);
  }
});

test('what a step is not about stays as it is expected', () => {
  const { steps, models } = schedule(2, 1500);
  for (const [at, step] of steps.entries()) {
    const [before, then] = [models[at], models[at + 1]] as [Model, Model];
    const { vifs, links } = about(step, before, then);
    for (const vif of before.vifs) {
      const next = vifOf(then, vif.slot);
      const what = `step ${at}, ${JSON.stringify(step)}`;
      if (!vifs.has(vif.slot)) expect(next, what).toEqual(vif);
      if (next.name !== vif.name || next.status !== vif.status) expect(links, what).toContain(vif.slot);
    }
  }
});

test('while a daemon serves nothing is uncertain, and no two vifs have one name', () => {
  for (const model of schedule(4, 1500).models) {
    if (serving(model)) expect(model.vifs.filter(({ uncertain }) => uncertain)).toEqual([]);
    const names = model.vifs.filter(({ present }) => present).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  }
});

test('a probe is not expected to be answered and unanswered at once', () => {
  for (const model of schedule(7, 500).models) {
    const seen = new Map<string, boolean>();
    for (const { kind, in: where, from, to, must } of probes(model)) {
      const key = `${kind} ${where} ${from} ${to}`;
      expect(seen.get(key) ?? must, key).toBe(must);
      seen.set(key, must);
    }
  }
});

const walkThrough = (...steps: Step[]): Model => steps.reduce((model, step) => after(model, step), begin(6));
const come = (vif: number, topology: 'nat' | 'route' | 'bridge', keys: object): Step => ({
  do: 'come',
  vif,
  topology,
  keys,
});
const connected = (model: Model): number[] => model.vifs.filter(isConnected).map(({ slot }) => slot);

test('a routed vif stays connected without a gateway, and none comes', () => {
  const model = walkThrough(
    come(10, 'route', { ip: '198.18.0.10' }),
    { do: 'default', uplink: null },
    come(11, 'route', { ip: '198.18.0.11' }),
  );
  expect(connected(model)).toEqual([10]);
  expect(vifOf(model, 11).status).toBe('error');
  expect(connected(after(model, { do: 'default', uplink: 'up1' }))).toEqual([10, 11]);
});

test('of two NAT vifs with one address the first keeps it, of two routed ones the newest netdev', () => {
  const nat = walkThrough(come(10, 'nat', {}), come(11, 'nat', {}), { do: 'same-address', vif: 11, of: 10 });
  expect(connected(nat)).toEqual([10]);
  expect(connected(after(nat, { do: 'go', vif: 10 }))).toEqual([11]);
  const routed = walkThrough(
    come(10, 'route', { ip: '198.18.0.10' }),
    come(11, 'route', { ip: '198.18.0.11' }),
    { do: 'same-address', vif: 10, of: 11 },
  );
  expect(connected(routed)).toEqual([10, 11]);
  const answered = probes(routed).filter(({ in: where }) => where === 'up0');
  expect(answered.map(({ what }) => what)).toEqual([
    'the network at up0 and the guest of vif11.0 (198.18.0.11)',
  ]);
});

test('a NAT vif whose address of the stock plan is taken has another, and keeps it', () => {
  const taken = walkThrough(come(13, 'nat', {}), come(11, 'nat', {}), {
    do: 'same-address',
    vif: 11,
    of: 13,
  });
  const model = [{ do: 'go', vif: 13 } as const, come(13, 'nat', {}), { do: 'go', vif: 11 } as const].reduce(
    (before: Model, step) => after(before, step),
    taken,
  );
  expect(connected(model)).toEqual([13]);
  // As the product has it of this MAC address.
  expect(vifOf(model, 13).planned).toBe('10.155.158.117');
});

test('in a small network the address of a NAT vif follows from its MAC address', () => {
  const steps = [come(10, 'nat', {}), come(11, 'nat', {})];
  const model = steps.reduce((before: Model, step) => after(before, step), begin(6, 'small'));
  // As the product has them.
  expect([10, 11].map((slot) => vifOf(model, slot).planned)).toEqual(['192.168.77.105', '192.168.77.39']);
});

test('a routed vif with an address of IPv6 alone needs no IPv4 of its gateway', () => {
  const model = walkThrough(
    { do: 'address', uplink: 'up0', there: false },
    come(10, 'route', { ip6: '2001:db8:18::a', gatewaydev: 'up0' }),
    come(11, 'route', { ip: '198.18.0.11', ip6: '2001:db8:18::b', gatewaydev: 'up0' }),
  );
  expect(connected(model)).toEqual([10]);
});

test('a name is had by one, and handed on', () => {
  const model = walkThrough(
    come(10, 'bridge', { bridge: 'xenbr0', vifname: 'eve10' }),
    come(11, 'bridge', { bridge: 'xenbr0' }),
    { do: 'same-name', vif: 11, of: 10 },
  );
  expect(connected(model)).toEqual([10]);
  const then = after(model, { do: 'apart', vif: 10 });
  expect(connected(then)).toEqual([10, 11]);
  expect([vifOf(then, 10).name, vifOf(then, 11).name]).toEqual(['vif10.0', 'eve10']);
});
