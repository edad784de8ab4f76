import { beforeEach, describe, expect, test } from 'vitest';
import { xenbusState } from '../../../src/model/snapshot.js';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };
const beside = { domid: 6, devid: 0 };
const large = { mtu: '9000' };
const lacking = [
  expect.stringMatching(/^give vif5\.0 the MTU 9000: its network device refuses it and keeps 1500;/),
];

let domain: DriverDomain;

/** The commands with an MTU performed, or tried, while some work is done. */
async function asked(work: () => Promise<void>): Promise<string[]> {
  const before = domain.host.commands.length;
  await work();
  return domain.host.commands.slice(before).filter((command) => command.includes(' mtu '));
}

/** The same vif with netback's limit of a frontend without scatter/gather. */
async function limited(keys: Record<string, string> = large): Promise<void> {
  domain.host.machine.mtuLimits.set('vif5.0', 1500);
  await domain.birth(id, keys);
}

describe('an MTU that the netdev refuses', () => {
  beforeEach(async () => {
    domain = new DriverDomain();
    await domain.start();
    await domain.birth(beside);
  });

  test('is done without: connected, up, with what is lacking said once, and asked for no more than once a minute', async () => {
    const begun = domain.reconciliations;
    expect(await asked(() => limited())).toEqual(['ip link set dev vif5.0 mtu 9000 master xenbr0 up']);
    expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
    expect(domain.host.link('vif5.0')).toMatchObject({
      up: true,
      mtu: 1500,
      master: domain.host.link('xenbr0')?.index,
    });
    expect(await domain.status(id)).toMatchObject({ state: 'attached', mtu: 1500, missing: lacking });
    const { problems = [] } = (await domain.status(id)) ?? {};
    expect(problems).toEqual([{ code: 'mtu-refused', kind: 'kernel', message: problems[0]?.message }]);
    expect(domain.events.last('vif5.0')).toMatchObject({
      kind: 'degraded',
      problems: [{ ...problems[0], isNew: true }],
    });
    // Another lack comes, and this one is not new then.
    domain.backend.set(id, { gatewaydev: 'eth0' });
    await domain.settle();
    expect(domain.events.last('vif5.0')?.problems?.map(({ code, isNew }) => [code, isNew])).toEqual([
      ['key-unused', true],
      ['mtu-refused', false],
    ]);
    domain.backend.set(id, { gatewaydev: undefined });
    await domain.settle();
    expect(await asked(() => domain.pass(600_000))).toSatisfy(
      (all: string[]) => all.length >= 10 && all.length <= 14 && new Set(all).size === 1,
    );
    expect(domain.events.of('vif5.0')).toEqual(['attached', 'degraded', 'degraded', 'degraded']);
    expect(domain.events.of('vif6.0')).toEqual(['attached']);
    // Two vifs, each looked at once a minute.
    expect(domain.reconciliations - begun).toBeLessThan(2 * 14 + 10);
  });

  test.each([
    ['the carrier of another frontend', () => domain.host.change('vif5.0', { carrierSince: 1 })],
    ['a frontend that connects', () => domain.backend.set(id, { state: `${xenbusState.connected}` })],
  ])('is taken up again with %s', async (_, comes) => {
    await limited();
    domain.host.machine.mtuLimits.clear();
    expect(
      await asked(async () => {
        comes();
        await domain.settle();
      }),
    ).toEqual(['ip link set dev vif5.0 mtu 9000']);
    expect(domain.host.link('vif5.0')?.mtu).toBe(9000);
    expect(await domain.status(id)).toMatchObject({ missing: [], mtu: 9000 });
    expect(domain.events.of('vif5.0').slice(0, 2)).toEqual(['attached', 'degraded']);
    expect(domain.events.of('vif5.0')).toContain('recovered');
  });

  test('is left out of a running vif whose key is raised, which stays up; a smaller one that is taken ends it', async () => {
    await limited({});
    domain.backend.set(id, large);
    await domain.settle();
    expect(await domain.status(id)).toMatchObject({ state: 'attached', missing: lacking });
    expect(domain.host.commands.filter((command) => /vif5\.0 down/.test(command))).toEqual([]);
    domain.backend.set(id, { mtu: '1400' });
    await domain.settle();
    expect(await domain.status(id)).toMatchObject({ missing: [], mtu: 1400 });
  });

  test('may be the bridge’s: the bridge keeps it, and the vif has its own', async () => {
    for (const name of ['xenbr0', 'vif6.0']) domain.host.change(name, { mtu: 9000 });
    await domain.settle();
    expect(await asked(() => limited({}))).toEqual([
      'ip link set dev vif5.0 mtu 9000 master xenbr0 up',
      'ip link set dev xenbr0 mtu 9001 && ip link set dev xenbr0 mtu 9000',
    ]);
    expect(await domain.status(id)).toMatchObject({ state: 'attached', mtu: 1500, missing: lacking });
  });

  test('that another netdev of the name takes is not lacking', async () => {
    await limited();
    domain.host.machine.mtuLimits.clear();
    domain.host.remove('vif5.0');
    domain.host.add({ name: 'vif5.0' });
    await domain.settle();
    expect(await domain.status(id)).toMatchObject({ missing: [], mtu: 9000 });
  });
});
