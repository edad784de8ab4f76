import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Agent, startAgent } from '../../bench/agents.js';
import { Domnet, Vif, type Vifd } from '../../support/net/domnet.js';
import { OpenVswitch } from '../../support/net/openvswitch.js';
import { answers, pingBetween } from '../../support/net/ping.js';
import { Ping } from '../../support/process/background.js';
import { compare, type Differences, type Input } from './both-agents.js';
import { declared, table } from './differences.js';
import { inputs } from './inputs.js';
import { leftovers, leftTable } from './leftovers.js';

const page = readFileSync(
  fileURLToPath(new URL('../../../docs/operate/migrating.md', import.meta.url)),
  'utf8',
);

const scripts = Object.keys(inputs) as (keyof typeof inputs)[];

test('what is left of a vif is in docs/operate/migrating.md, and nothing else', () => {
  for (const { script, inputs: of } of leftovers)
    expect(Object.keys(inputs[script])).toEqual(expect.arrayContaining([...of]));
  const [, section = ''] = page.split('## What is left after a vif has gone\n');
  const [own = ''] = section.split(/^#/m);
  expect(own.split('\n').filter((line) => line.startsWith('|'))).toEqual(leftTable());
});

describe.each(scripts)('%s', (script) => {
  const given: Record<string, Input> = inputs[script];
  const names = Object.keys(given);

  test.each(names)(
    'with %s: the host is as the stock script makes and leaves it, but for what is declared',
    async (name) => {
      const expected: { attached: Differences; left: Differences } = { attached: {}, left: {} };
      for (const { inputs, what, stock, vifd } of declared[script]) {
        if (!inputs.includes(name)) continue;
        expect(expected.attached, 'declared twice').not.toHaveProperty([what]);
        expected.attached[what] = { stock, vifd };
      }
      for (const { script: of, inputs, what, stock, vifd } of leftovers) {
        if (of !== script || !inputs.includes(name)) continue;
        expect(expected.left, 'declared twice').not.toHaveProperty([what]);
        expected.left[what] = { stock, vifd };
      }
      expect(await compare(given[name] as Input)).toEqual(expected);
    },
  );

  test('what is declared is in docs/operate/migrating.md, and nothing else', () => {
    for (const { inputs } of declared[script]) expect(names).toEqual(expect.arrayContaining([...inputs]));
    const [, section = ''] = page.split(`### ${script}\n`);
    const [own = ''] = section.split(/^#/m);
    const rows = own.split('\n').filter((line) => line.startsWith('|'));
    expect(rows).toEqual(table(script, names));
  });

  /** A driver domain with what this topology needs. */
  async function domain(): Promise<Domain> {
    const domnet = await Domnet.start();
    const ovs = given.plain?.openvswitch ? new OpenVswitch(domnet) : undefined;
    await ovs?.start();
    await inputs[script].plain.prepare(domnet, ovs);
    const config = ovs && { config: ovs.config };
    return {
      domnet,
      keys: inputs[script].plain.keys,
      stock: () => startAgent('stock', domnet, ovs && { ...config, env: { OVS_RUNDIR: ovs.dir } }),
      vifd: () => domnet.vifd(config),
      stop: async () => {
        await ovs?.stop();
        await domnet.stop();
      },
    };
  }

  /** Guest 5, pinged without a pause, by guest 6 or by the driver domain. */
  async function pinged({ domnet, keys }: Domain): Promise<{ vif: Vif; ping: Ping }> {
    const vif = await domnet.plug({ domid: 5, keys });
    await vif.connected();
    if (script === 'vif-bridge' || script === 'vif-openvswitch') {
      const other = new Vif(domnet, 6, 0);
      if (!(await other.exists())) await domnet.plug({ domid: 6, keys });
      await other.connected();
      return { vif, ping: await pingBetween(vif, other) };
    }
    // The script turns no forwarding on, so the driver domain itself it is.
    const address = script === 'vif-route' ? '192.0.2.5' : '10.0.5.1';
    await vif.guestIp(`address add ${address}/32 dev eth0`);
    await vif.guestIp('route add default dev eth0');
    const ping = new Ping(domnet.namespace, address);
    await answers(ping, 5);
    return { vif, ping };
  }

  test('a guest of the stock script is taken over without losing a packet', async () => {
    const there = await domain();
    let ping: Ping | undefined;
    try {
      const stock = await there.stock();
      const guest = await pinged(there);
      ({ ping } = guest);
      await stock.stop();
      const vifd = await there.vifd();
      await vifd.logged('vif adopted', guest.vif.name);
      await answers(ping, 20);
      expect((await ping.stop()).lost).toBe(0);
      await guest.vif.connected();
    } finally {
      await ping?.stop();
      await there.stop();
    }
  });

  test('a guest of vifd works on under xl devd, which takes it away and serves the next', async () => {
    const there = await domain();
    const { domnet } = there;
    const tables = async (): Promise<string[]> =>
      (await domnet.exec('nft', ['list', 'tables'])).split('\n').filter(Boolean);
    let ping: Ping | undefined;
    try {
      const vifd = await there.vifd();
      const guest = await pinged(there);
      ({ ping } = guest);
      await vifd.terminate();
      const stock = await there.stock();
      // As docs/operate/migrating.md says.
      for (const table of await tables()) await domnet.exec('nft', [`delete ${table}`]);
      await answers(ping, 20);
      expect((await ping.stop()).lost).toBe(0);
      await guest.vif.unplug();
      const next = await pinged(there);
      ping = next.ping;
      await next.vif.connected();
      expect(await tables()).toEqual([]);
      await stock.stop();
    } finally {
      await ping?.stop();
      await there.stop();
    }
  });
});

interface Domain {
  readonly domnet: Domnet;
  readonly keys: Input['keys'];
  stock(): Promise<Agent>;
  vifd(): Promise<Vifd>;
  stop(): Promise<void>;
}
