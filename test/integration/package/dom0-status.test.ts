import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';

const script = fileURLToPath(new URL('../../../systemd/dom0/vifd-dom0-status', import.meta.url));
let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.vifd();
  for (const [domid, name] of ['Domain-0', 'domnet', undefined, undefined, undefined, 'web'].entries())
    if (name !== undefined) await domnet.xenstore.write(`/local/domain/${domid}/name`, name);
});
afterAll(() => domnet.stop());

/** The shell that /bin/sh is, and xenstore-utils, nothing more. */
async function status(...args: string[]): Promise<{ lines: string[]; code: number }> {
  const env = { PATH: '/usr/bin:/bin', XENSTORED_PATH: domnet.xenstored.socketPath };
  return await promisify(execFile)(script, args, { env }).then(
    ({ stdout }) => ({ lines: stdout.trimEnd().split('\n'), code: 0 }),
    (error: { stdout: string; code: number }) => ({
      lines: error.stdout.trimEnd().split('\n'),
      code: error.code,
    }),
  );
}

test('without a vif there is but the head', async () => {
  expect(await status()).toEqual({
    lines: [expect.stringMatching(/^BACKEND +GUEST +VIF +STATE +HOTPLUG-STATUS$/)],
    code: 0,
  });
});

test('a vif that is well, and its guest by name', async () => {
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  const { lines, code } = await status();
  expect(lines[1]).toMatch(/^Domain-0 \(0\) +web \(5\) +vif5\.0 +InitWait +connected$/);
  expect(code).toBe(0);
});

test('a vif that has an error, which is told in full', async () => {
  const vif = await domnet.plug({ domid: 6, keys: { bridge: 'xenbr9' } });
  await vif.status('error');
  const { lines, code } = await status();
  expect(lines.at(-2)).toMatch(/ vif6\.0 +InitWait +error$/);
  expect(lines.at(-1)).toBe(
    '    attach vif6.0 to bridge xenbr9: no such bridge; the bridges here are xenbr0',
  );
  expect(code).toBe(1);
});

test('another driver domain, and what it says cannot move the cursor', async () => {
  const path = '/local/domain/1/backend/vif/7/2';
  await domnet.xenstore.write(`${path}/state`, '9');
  await domnet.xenstore.write(`${path}/hotplug-error`, 'a\u001b[2Jb\nc');
  const { lines, code } = await status();
  const at = lines.findIndex((line) => /^domnet \(1\) +\(7\) +vif7\.2 +9 +-$/.test(line));
  expect(lines.join('\n')).not.toContain('\u001b');
  expect(at).toBeGreaterThan(0);
  expect(lines[at + 1]).toBe(String.raw`    a\x1b[2Jb\nc`);
  expect(code).toBe(1);
});

test('a vif whose driver domain is gone, and none whose driver domain is another', async () => {
  const libxl = (devid: number) => `/libxl/5/device/vif/${devid}/backend`;
  await domnet.xenstore.write(libxl(0), '/local/domain/0/backend/vif/5/0');
  const before = await status();
  await domnet.xenstore.write(libxl(3), '/local/domain/9/backend/vif/5/3');
  const { lines, code } = await status();
  expect(lines.slice(0, -2)).toEqual(before.lines);
  expect(lines.at(-2)).toMatch(/^gone \(9\) +web \(5\) +vif5\.3 +- +-$/);
  expect(lines.at(-1)).toContain('its driver domain is gone: run vifd-dom0-reconnect');
  expect(code).toBe(1);
});

test('xenstore that cannot be read', async () => {
  const env = { PATH: '/usr/bin:/bin', XENSTORED_PATH: '/nowhere' };
  await expect(promisify(execFile)(script, [], { env })).rejects.toMatchObject({ code: 2 });
});

test('it waits for one guest, whatever others lack, and exits by the outcome', async () => {
  // vif6.0 has an error, and vif5.3 no driver domain.
  expect((await status()).code).toBe(1);
  await domnet.xenstore.write('/local/domain/8/name', 'db');
  const late = await domnet.writeDevice({ domid: 8 });
  const waits = status('--wait', 'db');
  const over = status('--wait', '8', '--timeout', '0');
  expect(await over).toEqual({ lines: ['vif8.0: not connected yet, state Initialising'], code: 3 });
  await late.addNetdev();
  await late.setState(2);
  expect(await waits).toEqual({ lines: [''], code: 0 });
  expect(await status('--wait', '6')).toEqual({
    lines: ['vif6.0: attach vif6.0 to bridge xenbr9: no such bridge; the bridges here are xenbr0'],
    code: 1,
  });
  const gone = await status('--wait', 'web');
  expect(gone).toEqual({
    lines: [expect.stringMatching(/^vif5\.3: its driver domain \(9\) is gone/)],
    code: 1,
  });
  expect(await status('--wait', 'nobody', '--timeout', '0')).toEqual({
    lines: ['there is no guest nobody'],
    code: 3,
  });
  expect(await status('--timeout', '5')).toMatchObject({ code: 2 });
  expect(await status('--wait', 'db', '--timeout', '1e3')).toMatchObject({ code: 2 });
});
