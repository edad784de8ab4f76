import { expect, test } from 'vitest';
import { Refused } from '../../fake/backend.js';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };
const beside = { domid: 6, devid: 0 };
const other = { domid: 6, devid: 0 };

/** The moments (ms) of reconciliations while the clock is turned by so much, in steps of 100 ms. */
async function momentsOfLooks(domain: DriverDomain, ms: number): Promise<number[]> {
  const moments: number[] = [];
  for (let left = ms; left > 0; left -= 100) {
    const reconciliations = await domain.reconciliationsDuring(() => domain.pass(100));
    for (let i = 0; i < reconciliations; i++) moments.push(domain.clock.now());
  }
  return moments;
}

test('an action that fails is tried again after 0.5 s, 1 s, 2 s and so on, a minute at most', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail('set-link', 'Device or resource busy');
  await domain.birth(id);
  const begun = domain.clock.now();
  const tries = (await momentsOfLooks(domain, 32_000)).map((at) => at - begun);
  expect(tries).toEqual([500, 1500, 3500, 7500, 15_500, 31_500]);
  // The same reason is reported once, and written once.
  expect(domain.events.of('vif5.0')).toEqual(['failed']);
  await domain.pass(120_000);
  const longest = await momentsOfLooks(domain, 600_000);
  const pauses = longest.slice(1).map((at, i) => at - (longest[i] ?? 0));
  expect(Math.max(...pauses)).toBeLessThanOrEqual(60_000);
  expect(longest.length).toBeLessThanOrEqual((2 * 600_000) / 45_000 + 1);
});

test('what passes by itself is over with the next try, and the pauses begin anew', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const heal = domain.host.fail('set-link', 'Device or resource busy');
  await domain.birth(id);
  await domain.pass(5000);
  heal();
  await domain.pass(2500);
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(domain.events.of('vif5.0')).toEqual(['failed', 'attached']);
  await domain.pass(1000);
  domain.host.fail('set-link', 'Device or resource busy', 2);
  domain.host.change('vif5.0', { up: false });
  await domain.settle();
  const begun = domain.clock.now();
  expect((await momentsOfLooks(domain, 5000)).map((at) => at - begun).slice(0, 2)).toEqual([500, 1500]);
});

test('events that a failing reconciliation causes itself cause no further one', async () => {
  const domain = new DriverDomain({ config: '[[vif]]\noffload = { tso = false }\n' });
  domain.host.add({ name: 'vif5.0' });
  domain.backend.create(id, { bridge: 'xenbr0' });
  await domain.start();
  domain.host.fail('set-offload', 'netlink error: Operation not supported');
  // Each attempt takes the link down and up, with an event each time.
  domain.host.change('vif5.0', { mac: '00:00:00:00:00:01' });
  domain.host.machine.offloads.clear();
  domain.host.ignore(({ kind }) => kind === 'set-link');
  await domain.settle();
  expect(domain.events.of('vif5.0')).toContain('failed');
  expect(await domain.reconciliationsDuring(() => domain.pass(499))).toBe(0);
  expect(await domain.reconciliationsDuring(() => domain.pass(1))).toBe(1);
});

test('an event of the machine that comes after a failure is followed within a second', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const heal = domain.host.fail('set-link', 'Device or resource busy');
  await domain.birth(id);
  // By then the pause is a minute.
  await domain.pass(100_000);
  heal();
  domain.host.changed('vif5.0');
  await domain.pass(1000);
  expect(domain.told(id).status).toBe('connected');
});

test('an event of the machine just after a try waits, for half a second the first time and a second then', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail('set-link', 'Device or resource busy');
  await domain.birth(id);
  await domain.pass(500);
  await domain.pass(1000);
  const reconciliations = await domain.reconciliationsDuring(async () => {
    domain.host.changed('vif5.0');
    await domain.pass(999);
  });
  expect(reconciliations).toBe(0);
  expect(await domain.reconciliationsDuring(() => domain.pass(1))).toBe(1);
});

test('what dom0 writes is followed at once, also after a failure', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail(/master xenbr0/, 'Device or resource busy');
  domain.host.add({ name: 'xenbr1', kind: 'bridge' });
  await domain.birth(id);
  domain.backend.set(id, { bridge: 'xenbr1' });
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
});

test('what dom0 writes during a try that fails is followed at once', async () => {
  const domain = new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge' },
      { name: 'xenbr1', kind: 'bridge' },
    ],
  });
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  domain.backend.set(id, { bridge: 'xenbr1' });
  await born;
  up.release(new Error('Device or resource busy'));
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(domain.host.link('vif5.0')?.master).toBe(domain.host.link('xenbr1')?.index);
});

test('changes that are taken and do nothing end after four rounds, and are tried by the back-off alone', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.ignore('set-link');
  await domain.birth(id);
  expect(domain.host.performed.filter(({ kind }) => kind === 'set-link')).toHaveLength(4);
  expect(domain.told(id)).toEqual({
    status: 'error',
    error: 'attach vif5.0: still to do afterwards: ip link set dev vif5.0 master xenbr0 up',
  });
  const rounds = domain.host.refreshes;
  // Six attempts after 0.5 s to 32 s, then one a minute, and the periodic resync.
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(600_000));
  expect(reconciliations).toBeLessThanOrEqual(6 + 10 + (domain.host.refreshes - rounds));
  expect(domain.events.of('vif5.0')).toEqual(['failed']);
});

test('an attached vif whose machine changes faster than it is followed is no failure, unless that does not end', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  const { host } = domain;
  // Each change of vifd is followed by one of another program.
  const perform = host.perform.bind(host);
  let answers = 0;
  host.perform = async (action) => {
    await perform(action);
    if (answers-- > 0) host.change('vif5.0', answers % 2 === 0 ? { up: false } : { master: undefined });
  };
  answers = 10;
  host.change('vif5.0', { up: false });
  await domain.pass(5000);
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(host.link('vif5.0')).toMatchObject({ up: true, master: host.link('xenbr0')?.index });
  expect(domain.events.of('vif5.0')).not.toContain('failed');
  answers = 1000;
  host.change('vif5.0', { up: false });
  await domain.pass(60_000);
  expect(domain.told(id)).toEqual({
    status: 'error',
    error: expect.stringMatching(/still to do afterwards/),
  });
});

test('a set of an administrator that others empty all the time costs a vif nothing, at its birth or later', async () => {
  const domain = new DriverDomain({
    sets: { 'inet roles web': { type: 'ifname', intervals: false, elements: [] } },
    config: '[[vif]]\nsets = ["inet roles web"]\n',
  });
  await domain.start();
  const heal = domain.host.ignore('add-to-set');
  await domain.birth(id);
  await domain.birth(beside);
  const vifs = [id, beside];
  const looks = await domain.reconciliationsDuring(() => domain.pass(10_000));
  expect(looks).toBeLessThanOrEqual(2 * (10_000 / 500 + 1));
  for (const vif of vifs) expect(domain.told(vif)).toEqual({ status: 'connected', error: undefined });
  expect(vifs.flatMap(({ domid }) => domain.events.of(`vif${domid}.0`))).not.toContain('failed');
  heal();
  await domain.pass(1000);
  const { namedSets } = domain.host.machine;
  expect(vifs.map(({ domid }) => namedSets.members(`vif${domid}.0`))).toEqual(
    vifs.map(({ domid }) => [{ set: 'inet roles web', value: `vif${domid}.0` }]),
  );
});

test('a failure of another text each time waits for its back-off too', async () => {
  const domain = new DriverDomain();
  await domain.start();
  // The error that is written causes watch events of vifd's own keys.
  domain.host.fail('set-link', () => `busy since ${domain.clock.now()}`);
  await domain.birth(id);
  const rounds = domain.host.refreshes;
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(600_000));
  // A resync is an event of the host, and an attempt that it causes and that fails counts for the back-off.
  expect(reconciliations).toBeLessThanOrEqual(6 + 10 + (domain.host.refreshes - rounds));
});

test('another program that undoes at once what vifd does is answered 20 times in ten seconds, then once a second', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  const { reconciler } = domain;
  domain.host.listener = {
    scriptEnded: () => undefined,
    hostChanged: (news, owners) => {
      reconciler.hostChanged(news, owners);
      // After the reconciliation, which succeeded.
      setImmediate(() => {
        if (domain.host.link('vif5.0')?.up) domain.host.change('vif5.0', { up: false });
      });
    },
  };
  domain.host.change('vif5.0', { up: false });
  await domain.settle();
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(60_000));
  expect(reconciliations).toBeLessThanOrEqual(6 * 21);
  expect(reconciliations).toBeGreaterThanOrEqual(60);
  domain.host.listener = reconciler;
  await domain.pass(1000);
  expect(domain.host.link('vif5.0')?.up).toBe(true);
});

test('what fails for one vif touches no other', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(other);
  await domain.pass(1000);
  const before = await domain.status(other);
  const told = domain.told(other);
  const commands = domain.host.performed.length;
  domain.host.fail(/vif5\.0/, 'Device or resource busy');
  await domain.birth(id);
  await domain.pass(200_000);
  expect((await domain.status(id))?.state).toBe('failed');
  expect(await domain.status(other)).toEqual(before);
  expect(domain.told(other)).toEqual(told);
  expect(domain.events.of('vif6.0')).toEqual(['attached']);
  expect(domain.hooks.of('vif6.0')).toEqual(['attach']);
  const others = domain.host.commands.slice(commands).filter((command) => command.includes('vif6.0'));
  expect(others).toEqual([]);
});

test('one that hangs keeps no other waiting', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const held = domain.host.hold(/vif5\.0/);
  await domain.birth(id);
  await domain.birth(other);
  expect(domain.told(other).status).toBe('connected');
  held.release();
  await domain.settle();
  expect(domain.told(id).status).toBe('connected');
});

test('a status that cannot be written is tried again by the back-off, and the reason stays the one it was', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.backend.fail('report', new Refused('write backend/vif/5/0/hotplug-error: EQUOTA'));
  await domain.birth(id, { bridge: 'xenbr1' });
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(600_000));
  expect(reconciliations).toBeLessThanOrEqual(6 + 10 + domain.host.refreshes);
  expect(domain.events.of('vif5.0')).toEqual(['failed']);
  expect((await domain.status(id))?.error).toBe(
    'attach vif5.0 to bridge xenbr1: no such bridge; the bridges here are xenbr0',
  );
  expect(domain.journal.filter(({ msg }) => msg === 'vif status not written')).not.toEqual([]);
});

test('xenstore that is lost while a failure is told is told to be lost', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail('set-link', 'Device or resource busy');
  domain.backend.lose('report');
  await domain.birth(id);
  expect(domain.losses).toHaveLength(1);
});

test('a vif whose status cannot be written is not told to be attached until it is', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.backend.fail('report', new Refused('commit: EQUOTA'), { times: 2 });
  await domain.birth(id);
  expect(domain.events.all).toMatchObject([{ kind: 'failed', errorKind: 'xenstore' }]);
  await domain.pass(500);
  expect(domain.told(id).status).toBe('connected');
  expect(domain.events.of('vif5.0')).toEqual(['failed', 'attached']);
});

test('a vif that is held to nothing is attached where nf_tables refuses what keeps control frames back', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const heal = domain.host.fail('nft', 'Operation not permitted');
  await domain.birth(id);
  await domain.birth(other, { ip: '192.0.2.6' });
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'degraded']);
  // The one beside it must not be on the network without its filter.
  expect(domain.told(other).status).toBe('error');
  heal();
  await domain.pass(31_000);
  expect(domain.events.of('vif5.0').at(-1)).toBe('recovered');
  expect(domain.told(other)).toEqual({ status: 'connected', error: undefined });
});
