import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { startAgent } from '../bench/agents.js';
import { Ping } from '../support/background.js';
import { differences, type Input, type Values } from '../support/both-agents.js';
import { declared, table } from '../support/differences.js';
import { Domnet } from '../support/domnet.js';
import { until } from '../support/exec.js';
import { inputs } from '../support/inputs.js';
import { answers, pingBetween } from '../support/net.js';
import { OpenVswitch } from '../support/openvswitch.js';

const page = readFileSync(fileURLToPath(new URL('../../docs/migrating.md', import.meta.url)), 'utf8');

const scripts = Object.keys(inputs) as (keyof typeof inputs)[];

describe.each(scripts)('%s', (script) => {
  const given: Record<string, Input> = inputs[script];
  const names = Object.keys(given);

  test.each(names)(
    'with %s: the host is as the stock script makes it, but for what is declared',
    async (name) => {
      const expected: Record<string, Values> = {};
      for (const { inputs, what, stock, vifd } of declared[script]) {
        if (!inputs.includes(name)) continue;
        expect(expected, 'declared twice').not.toHaveProperty([what]);
        expected[what] = { stock, vifd };
      }
      expect(await differences(given[name] as Input)).toEqual(expected);
    },
  );

  test('what is declared is in docs/migrating.md, and nothing else', () => {
    for (const { inputs } of declared[script]) expect(names).toEqual(expect.arrayContaining([...inputs]));
    const [, section = ''] = page.split(`### ${script}\n`);
    const [own = ''] = section.split(/^#/m);
    const rows = own.split('\n').filter((line) => line.startsWith('|'));
    expect(rows).toEqual(table(script, names));
  });

  test('a guest of the stock script is taken over without losing a packet', async () => {
    const input: Input = inputs[script].plain;
    const domnet = await Domnet.start();
    const ovs = input.openvswitch ? new OpenVswitch(domnet) : undefined;
    let ping: Ping | undefined;
    try {
      await ovs?.start();
      await input.prepare(domnet, ovs);
      const options = ovs && { config: ovs.config, env: { OVS_RUNDIR: ovs.dir } };
      const stock = await startAgent('stock', domnet, options);
      const one = await domnet.plug({ domid: 5, keys: input.keys });
      await one.connected();
      if (script === 'vif-bridge' || script === 'vif-openvswitch') {
        const two = await domnet.plug({ domid: 6, keys: input.keys });
        await two.connected();
        ping = await pingBetween(one, two);
      } else {
        // The script turns no forwarding on, so the driver domain itself it is.
        const address = script === 'vif-route' ? '192.0.2.5' : '10.0.5.1';
        await one.guestIp(`address add ${address}/32 dev eth0`);
        await one.guestIp('route add default dev eth0');
        ping = new Ping(domnet.namespace, address);
        await answers(ping, 5);
      }
      await stock.stop();
      const vifd = await domnet.vifd(ovs && { config: ovs.config });
      // `attached` where something is added that the script does not do.
      const taken = ['vif adopted', 'vif attached'];
      await until('vifd to take it over', () =>
        vifd.log.some(({ msg, vif }) => vif === one.name && taken.includes(msg)),
      );
      await answers(ping, 20);
      expect((await ping.stop()).lost).toBe(0);
      await one.connected();
    } finally {
      await ping?.stop();
      await ovs?.stop();
      await domnet.stop();
    }
  });
});
