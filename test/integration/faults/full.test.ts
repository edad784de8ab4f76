import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { exec } from '../../support/process/exec.js';
import { TrustedDir } from '../../support/process/trusted-dir.js';

let domnet: Domnet;
let dir: TrustedDir;
let run: string;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  dir = new TrustedDir();
  run = `${domnet.dir}/run`;
  mkdirSync(run);
  await exec('mount', ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=8', 'tmpfs', run]);
});
afterEach(async () => {
  // Lazily, since a daemon may have its lock there still.
  await exec('umount', ['-l', run]);
  await domnet.stop();
  dir.remove();
});

/** Fills the runtime directory: no byte and no inode is left. */
function fill(): void {
  for (const name of ['big', 'a', 'b', 'c', 'd', 'e', 'f', 'g']) {
    try {
      writeFileSync(`${run}/${name}`, name === 'big' ? Buffer.alloc(64 << 10) : '');
    } catch {
      // ENOSPC is what it is for.
    }
  }
}

test('a /run that gets full: what runs goes on, what comes is attached, and it is said', async () => {
  const script = dir.script('vif-mine', 'xenstore-write $XENBUS_PATH/hotplug-status connected');
  const daemon = await domnet.vifd({
    config: `[scripts]\ndirectories = ["${dir.path}"]\n`,
    env: { VIFD_RUNTIME_DIR: run },
  });
  const first = await domnet.plug({ domid: 5, keys: { script } });
  await first.connected();
  fill();
  const second = await domnet.plug({ domid: 6, keys: { script } });
  await daemon.logged('vif attached', 'vif6.0');
  await daemon.logged('script record not kept; after a restart of vifd the script runs again', 'vif6.0');
  await first.unplug();
  await second.unplug();
  const third = await domnet.plug({ domid: 7 });
  await third.connected();
  expect(await daemon.terminate()).toBe(0);
});

test('what is kept on disk is garbage, truncated, or of another version: passed over', async () => {
  const script = dir.script('vif-mine', 'xenstore-write $XENBUS_PATH/hotplug-status connected');
  const garbage = ['', '{', '[]', 'null', '{"file":1}', '{"event":"attach","vif":"vif5.0"}', '\0\xff'];
  for (const kind of ['scripts', 'hooks', 'dhcp/hosts', 'dhcp/options']) {
    mkdirSync(`${domnet.dir}/${kind}`, { recursive: true });
    for (const [devid, text] of garbage.entries())
      for (const name of [`vif5.${devid}.json`, `vif5.${devid}`, `x${devid}.json`, `vif5.${devid}.json.new`])
        writeFileSync(`${domnet.dir}/${kind}/${name}`, text);
  }
  dir.script('10-hook', 'cat');
  const daemon = await domnet.vifd({
    config: `[scripts]\ndirectories = ["${dir.path}"]\n[hooks]\ndirectory = "${dir.path}"\n[nat]\ndhcp = "dnsmasq"\n`,
  });
  const vif = await domnet.plug({ domid: 5, keys: { script } });
  await vif.connected();
  const other = await domnet.plug({ domid: 5, devid: 1 });
  await other.connected();
  expect(daemon.log.filter(({ msg }) => msg === 'hook output').map(({ line }) => line)).not.toContainEqual(
    expect.stringContaining('detach'),
  );
  expect(await daemon.terminate()).toBe(0);
});

test('a /run that is full at the start costs the control socket, not the vifs', async () => {
  fill();
  const daemon = await domnet.vifd({ env: { VIFD_RUNTIME_DIR: run } });
  expect(daemon.log.some(({ msg }) => msg === 'no control socket')).toBe(true);
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  expect(await daemon.terminate()).toBe(0);
});
