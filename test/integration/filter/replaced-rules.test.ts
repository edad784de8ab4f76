import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { rulesFile } from '../../../src/host/netfilter/rules-file.js';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;
let vifs: Vif[];
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.ip('address add 10.0.0.1/8 dev xenbr0');
  vifs = [];
});
afterEach(() => domnet.stop());

/** A guest that answers what is sent to it without a pause, and sends nothing else. */
async function answering(domid: number, keys: Record<string, string>, address: string): Promise<void> {
  const namespace = await domnet.guestNamespace(domid);
  for (const of of ['all', 'default'])
    await exec('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', `net.ipv6.conf.${of}.disable_ipv6=1`]);
  const vif = await domnet.plug({ domid, keys });
  await vif.connected();
  await vif.guestIp(`address add ${address}/8 dev eth0`);
  const flood = new Background('ip', ['netns', 'exec', domnet.namespace, 'ping', '-q', '-f', address]);
  domnet.atEnd(() => flood.stop());
  vifs.push(vif);
}

/** What was refused of guests that send nothing but answers from their own addresses. */
async function refused(): Promise<string[]> {
  const text = await domnet.exec('nft', ['list', 'set', 'netdev', 'vifd', 'drops']);
  return [...text.matchAll(/"(vif\d+\.\d+)" \. (0x[\da-f]+) counter/g)].map(
    ([, vif, mark]) => `${vif} ${mark}`,
  );
}

/** Waits until the rules of this release hold all vifs. */
const held = (): Promise<boolean> =>
  until('the rules', async () => {
    const text = await domnet.exec('nft', ['list', 'table', 'netdev', 'vifd']).catch(() => '');
    return vifs.every(({ name }) => text.includes(`jump guest comment "${name}"`));
  });

async function guests(): Promise<void> {
  await answering(5, { ip: '10.0.0.5' }, '10.0.0.5');
  await answering(6, { ip: '10.0.6.0/24' }, '10.0.6.6');
  await answering(7, {}, '10.0.0.7');
}

it('a guest loses no frame while the rules that hold it are made again', async () => {
  await domnet.vifd();
  await guests();
  await held();
  const found: string[] = [];
  for (let i = 0; i < 25; i++) {
    await domnet.exec('nft', ['delete table netdev vifd']);
    await held();
    found.push(...(await refused()));
  }
  expect(found).toEqual([]);
});

it('a guest loses no frame while the rules of another release are replaced', async () => {
  let daemon = await domnet.vifd();
  await guests();
  await held();
  const rules = rulesFile.get('netdev vifd');
  const flush = [...(rules?.marks.keys() ?? [])];
  const other = rules
    ?.text({ flags: undefined, flush, former: [] })
    .replaceAll(/ #[\da-f]+"/g, ' #0123456789abc"');
  const file = join(domnet.dir, 'other.nft');
  writeFileSync(file, other ?? '');
  for (let i = 0; i < 16; i++) {
    await daemon.terminate();
    await domnet.exec('nft', ['-f', file]);
    daemon = await domnet.vifd();
    for (const { name } of vifs) await daemon.logged('vif adopted', name);
    expect(await domnet.exec('nft', ['list', 'table', 'netdev', 'vifd'])).not.toContain('#0123456789abc');
  }
  expect(await refused()).toEqual([]);
});
