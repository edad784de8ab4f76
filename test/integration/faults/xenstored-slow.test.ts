import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { pingBetween } from '../../support/net/ping.js';
import { until } from '../../support/process/exec.js';
import { XenstoredProxy, xs } from '../../support/store/xenstored-proxy.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterEach(() => domnet.stop());

test('a xenstored that is slow, or refuses for a while: attached in the end, and no other guest loses a packet', async () => {
  const path = `${domnet.dir}/proxy`;
  const proxy = await XenstoredProxy.start(path, domnet.xenstored.socketPath);
  try {
    const config = '[nat]\nguest_keys = true\n';
    const daemon = await domnet.vifd({ config, env: { XENSTORED_PATH: path } });
    const guests = [await domnet.plug({ domid: 5 }), await domnet.plug({ domid: 6 })] as const;
    for (const guest of guests) await guest.connected();
    const ping = await pingBetween(...guests);

    proxy.treatment = { delayMs: process.env.FAULTS === 'all' ? 100 : 30 };
    const slow = await domnet.plug({ domid: 7 });
    await slow.connected();

    // Quota and permissions; then a transaction that ten times in a row is another's (EAGAIN).
    for (const [domid, error] of [
      [8, 'EACCES'],
      [9, 'ENOSPC'],
    ] as const) {
      proxy.treatment = {
        refuses: (type, payload) =>
          type === xs.write && payload.startsWith(`backend/vif/${domid}/0/hotplug-status`)
            ? error
            : undefined,
      };
      const vif = await domnet.plug({ domid });
      const said = await daemon.logged('vif not attached', vif.name);
      expect(said.error).toMatch(error === 'EACCES' ? /EACCES/ : /ENOSPC/);
      proxy.treatment = {};
      await vif.connected();
    }
    // What a guest is to find costs its vif nothing.
    for (const [domid, error] of [
      [11, 'EACCES'],
      [12, 'ENOSPC'],
    ] as const) {
      const keys = `/local/domain/${domid}/vifd`;
      await domnet.xenstore.mkdir(keys);
      proxy.treatment = {
        refuses: (type, payload) => (type === xs.write && payload.startsWith(keys) ? error : undefined),
      };
      const vif = await domnet.plug({ domid, keys: { script: 'vif-nat', bridge: undefined } });
      const said = await daemon.logged('vif degraded', vif.name);
      expect(`${said.missing}`).toContain(`tell the guest of ${vif.name} by ${keys}: `);
      expect(`${said.missing}`).toContain(error);
      await vif.connected();
      expect(await domnet.xenstore.directory(keys)).toEqual([]);
      proxy.treatment = {};
      await until('the keys', () => domnet.xenstore.exists(`${keys}/0/ip`));
      await vif.unplug();
    }
    proxy.refused = 0;
    proxy.treatment = {
      refuses: (type) => (type === xs.transactionEnd && proxy.refused < 10 ? 'EAGAIN' : undefined),
    };
    const contended = await domnet.plug({ domid: 10 });
    await contended.connected();
    expect(proxy.refused).toBe(10);
    proxy.treatment = {};
    await contended.unplug();
    expect((await ping.stop()).lost).toBe(0);
    expect(daemon.log.filter(({ msg }) => msg === 'xenstore lost')).toEqual([]);
    expect(await daemon.terminate()).toBe(0);
  } finally {
    proxy.stop();
  }
});
