import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';
import { obstacles } from '../../../src/decide/obstacles.js';
import { netdevMissing, pending } from '../../../src/decide/readiness.js';
import { scriptFailure } from '../../../src/decide/script.js';
import { nat } from '../../../src/decide/topology/nat.js';
import { unfilterable } from '../../../src/decide/topology/openvswitch.js';
import { route } from '../../../src/decide/topology/route.js';
import type { BridgePort } from '../../../src/model/bridge-port.js';
import type { FilterSpec } from '../../../src/model/filter.js';
import { type IpState, noIp } from '../../../src/model/ip.js';
import { type Link, linkView } from '../../../src/model/observed.js';
import { OperationError } from '../../../src/model/operation-error.js';
import { snapshot } from '../../../src/model/snapshot.js';
import { firewallView } from '../../../src/nft/walk/firewall.js';
import { parseRuleset } from '../../../src/nft/walk/ruleset.js';
import { journalFields } from '../../../src/observe/journal.js';
import { caseFile, caseNames } from '../../cases/case.js';
import { OvsMachine } from '../../fake/openvswitch-machine.js';

const id = { domid: 5, devid: 0 };
const config = parseConfig('', 'vifd.toml');
const keys = (more: Record<string, string> = {}) =>
  snapshot(id, new Map(Object.entries({ script: 'x', mac: '00:16:3e:00:00:05', ...more })));
const links = linkView([]);
const held: FilterSpec = {
  hold: 'addresses',
  macs: [],
  networks: [],
  tagged: false,
  controlFrames: false,
  reverse: false,
  protectHost: undefined,
};

/** The messages of the golden cases. */
const ofCases = caseNames().flatMap((name) => {
  const text = readFileSync(caseFile(name, 'status.json'), 'utf8');
  const { missing = [], backend } = JSON.parse(text) as {
    missing?: string[];
    backend: Record<string, string>;
  };
  return [...missing, ...[backend['hotplug-error'] ?? []].flat()];
});

/** The messages of situations that no case covers. */
function ofOthers(): string[] {
  const other = {
    index: 4,
    name: 'vif4.0',
    addresses: [],
    alias: undefined,
    parent: undefined,
  } as unknown as Link;
  const taken: IpState = {
    ...noIp,
    routes: { ...noIp.routes, to: () => ({ device: 4 }) as ReturnType<IpState['routes']['to']> },
  };
  const refusals = [
    route.attach(keys(), config, { links }, undefined),
    route.attach(keys({ gatewaydev: 'eth0' }), config, { links }, undefined),
    nat.attach(keys({ ip: '10.0.0.0/24' }), config, { links }, undefined),
    nat.attach(keys({ ip: '10.0.0.5' }), config, { links: linkView([other]), ip: taken }, undefined),
  ].map((attachment) => ('problem' in attachment ? attachment.problem.message : ''));
  const openvswitch = new OvsMachine({ state: 'known', takes: false, bridges: [{ name: 'xenbr0' }] });
  const port = { bridge: 'xenbr0', tag: undefined, trunks: [], vlanMode: undefined, externalIds: {} };
  const link = { mac: '', mtu: undefined, master: null, addresses: [] };
  const wanted = { name: 'vif5.0', link, ovsPort: port };
  const run = {
    file: '/etc/xen/scripts/mine',
    ifindex: 1,
    gatewaydev: '',
    keys: { bridge: undefined, mac: undefined, ip: [], vifname: undefined, mtu: undefined, vlans: undefined },
    state: 'failed',
  } as const;
  return [
    ...refusals,
    netdevMissing(id, 10_000).message,
    pending(id, wanted, { links, openvswitch }, 10_000)?.problem.message ?? '',
    scriptFailure(run.file, run, undefined)?.message ?? '',
    unfilterable(id, held, { name: 'xenbr0', parent: 'xenbr0', vlan: undefined, datapathType: 'netdev' })
      ?.message ?? '',
    new OperationError('filter-refused', 'run', 'nft add rule …', 'no such file', { waits: false }).message,
    journalFields({ level: 'warn', msg: 'vif repaired', vif: 'vif5.0', actions: ['ip link …'] }).MESSAGE ??
      '',
    journalFields({
      level: 'warn',
      msg: 'vif waits for its script',
      vif: 'vif5.0',
      error: 'run script /etc/xen/scripts/mine: it ended well but wrote no hotplug-status',
    }).MESSAGE ?? '',
    journalFields({ level: 'info', msg: 'vif attached', vif: 'vif5.0', leftOut: 7 }).MESSAGE ?? '',
  ];
}

/** What is said of the programs beside vifd: a filter at each hook, and a spanning tree that waits. */
function ofObstacles(): string[] {
  const chain = (name: string, hook: string) => ({
    chain: { family: 'ip', table: 'filter', name, type: 'filter', hook, prio: 0, policy: 'drop' },
  });
  const nftables = [chain('FORWARD', 'forward'), chain('INPUT', 'input')];
  const view = (port: Partial<BridgePort>, forwardDelay?: number, up = true) =>
    linkView([
      { index: 1, name: 'eth0' },
      { index: 2, name: 'xenbr0', kind: 'bridge', up, callsFirewall: true, forwardDelay },
      { index: 5, name: 'vif5.0', master: 2, port },
    ] as unknown as Link[]);
  const observed = (port: Partial<BridgePort> = {}, forwardDelay?: number) => ({
    links: view(port, forwardDelay),
    firewall: firewallView(parseRuleset(JSON.stringify({ nftables }), '')),
    ip: { ...noIp, routes: { ...noIp.routes, waysOut: () => [1] } },
  });
  const desired = (master: string | null, ip?: object) =>
    ({ name: 'vif5.0', link: { master }, ip }) as unknown as Parameters<typeof obstacles>[1];
  const to = { family: 4, address: '10.0.5.1', prefix: 32 };
  const switched = (waiting: 'listening' | 'blocking') =>
    obstacles(
      id,
      { name: 'vif5.0', link: { master: null }, ovsPort: { bridge: 'xenbr0' } } as unknown as Parameters<
        typeof obstacles
      >[1],
      {
        ...observed(),
        openvswitch: new OvsMachine({
          state: 'known',
          ports: [{ name: 'vif5.0', bridge: 'xenbr0', waiting }],
        }),
      },
    );
  return [
    ...switched('listening'),
    ...switched('blocking'),
    ...obstacles(id, desired('xenbr0'), { ...observed(), links: view({}, undefined, false) }),
    ...obstacles(id, desired('xenbr0'), observed({ waiting: 'listening' }, 15)),
    ...obstacles(id, desired('xenbr0'), observed({ waiting: 'disabled' }, 15)),
    ...obstacles(id, desired('xenbr0'), observed({ waiting: 'disabled' })),
    ...obstacles(
      id,
      desired(null, {
        routes: [{ to }],
        forwards: { out: ['eth0'] },
        dhcp: 'tag:vif5.0,option:router,192.0.2.1\n',
      }),
      observed(),
    ),
  ].map(({ message }) => message);
}

const said = [...ofCases, ...ofOthers(), ...ofObstacles()];

const page = readFileSync(
  fileURLToPath(new URL('../../../docs/operate/troubleshooting.md', import.meta.url)),
  'utf8',
).replaceAll(/\n(?=\S)/g, ' ');

/** The lines of the journal that the page quotes: the table's first column, and bold text that is no symptom in dom0. */
const quoted = [...page.matchAll(/\| `([^`]+)`(?:, [^|]*)? \| /g)]
  .map(([, text = '']) => text)
  .filter((text) => /^[a-z][a-z0-9.]+ .*: /.test(text))
  .concat([...page.matchAll(/\*\*`((?:vif5\.0|…) [^`]+)`/g)].map(([, text = '']) => text));

/** A quoted line as a pattern for messages, with any names and numbers. */
function pattern(line: string): RegExp {
  const escaped = line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const named = escaped.replace(
    /(\b(xenbr\d|eth0|vif\d\\\.0|\d+\\\.\d+\\\.\d+\\\.\d+(\/\d+)?)|\/root\/\w+)(?!\w)/g,
    '\\S+',
  );
  return new RegExp(`^${named.replaceAll('…', '.*')}$`, 's');
}

test('the page quotes enough to be worth this test', () => expect(quoted.length).toBeGreaterThan(20));

test.each(quoted)('the program says "%s"', (line) => {
  expect(said.filter((text) => pattern(line).test(text))).not.toEqual([]);
});

test.each(['xenstore lost', 'cannot run', 'vif repaired', 'configuration not reloaded'])(
  'what the documents call "%s" is a message of the log',
  (message) => {
    const sources = ['src/cli/run.ts', 'src/daemon/daemon.ts', 'src/observe/events.ts'].map((name) =>
      readFileSync(fileURLToPath(new URL(`../../../${name}`, import.meta.url)), 'utf8'),
    );
    expect(sources.some((text) => text.includes(`'${message}'`))).toBe(true);
  },
);
