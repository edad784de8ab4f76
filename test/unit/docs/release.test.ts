import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';
import { decide } from '../../../src/decide/decide.js';
import { snapshot } from '../../../src/model/snapshot.js';
import { journalFields } from '../../../src/observe/journal.js';
import { Machine, plainLinks } from '../../fake/machine.js';

const read = (file: string) =>
  readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)), 'utf8');

const { version } = JSON.parse(read('package.json')) as { version: string };

test('the packages under native have the version of the whole, which asks for just that', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
  const names = Object.keys(dependencies).filter((name) => name.startsWith('node-'));
  expect(names.length).toBe(4);
  for (const name of names) {
    expect(JSON.parse(read(`native/${name}/package.json`))).toMatchObject({ name, version });
    expect(dependencies[name]).toBe(version);
  }
});

test('the changelog begins with this version and its date, and every version has one', () => {
  const heads = [...read('CHANGELOG.md').matchAll(/^## (.*)$/gm)].map(([, head = '']) => head);
  expect(heads[0]).toContain(`[${version}]`);
  for (const head of heads) expect(head).toMatch(/^\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$/);
});

test.each(['README.md', 'docs/operate/install.md'])('%s installs the package of this version', (page) => {
  const named = [...read(page).matchAll(/vifd_([^_]+)_amd64\.deb/g)].map(([, found]) => found);
  expect(named).toEqual([version]);
});

test('the journal in the README is what the program says', () => {
  const shown = /journalctl [\s\S]*?```/.exec(read('README.md'))?.[0].match(/^(vif|attach vif).*$/gm) ?? [];
  const attached = (vif: string, bridge: string, ms: number) => ({
    level: 'info',
    ...{ msg: 'vif attached', vif, topology: 'bridge', bridge, ms },
  });
  const keys = { online: '1', state: '2', mac: '00:16:3e:00:00:05', bridge: 'xenbr1', script: 'vif-bridge' };
  const links = plainLinks([
    { index: 1, name: 'xenbr0', kind: 'bridge' },
    { index: 2, name: 'vif5.1' },
  ]);
  const machine = new Machine({ links, openvswitch: undefined, ip: {}, scripts: new Map() });
  const asked = snapshot({ domid: 5, devid: 1 }, new Map(Object.entries(keys)));
  const refused = decide(asked, parseConfig('', 'vifd.toml'), machine.observe(), undefined);
  const error = 'problem' in refused ? refused.problem.message : undefined;
  const said = [
    attached('vif5.0', 'xenbr0', 14.1),
    { level: 'warn', msg: 'vif not attached', vif: 'vif5.1', error },
    attached('vif5.1', 'xenbr1', 12.4),
  ].map((record) => journalFields(record).MESSAGE);
  expect(shown).toEqual(said);
});
