import { expect, test } from 'vitest';
import { aboutFirewalls, stoppedVifs } from '../../../../src/cli/check/firewalls.js';
import { parseConfig } from '../../../../src/config/config.js';
import { linkView } from '../../../../src/model/observed.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import { parseRuleset } from '../../../../src/nft/walk/ruleset.js';
import { link } from '../../../fake/link.js';

const links = linkView([
  link(2, 'xenbr0', { kind: 'bridge' }),
  link(3, 'eth1', { master: 2 }),
  link(5, 'vif5.0', { parent: 'vif-5-0', master: 2 }),
  link(6, 'vif6.0', { parent: 'vif-6-0', master: 2 }),
]);
const bridged = [5, 6].map((domid) =>
  snapshot(
    { domid, devid: 0 },
    new Map(Object.entries({ online: '1', script: '/etc/xen/scripts/vif-bridge', bridge: 'xenbr0' })),
  ),
);
/** A chain at forward of the bridge family with a policy, and a rule for one interface. */
const rules = (policy: string, iifname: string, verdict: 'accept' | 'drop', key = 'iifname') =>
  parseRuleset(
    JSON.stringify({
      nftables: [
        {
          chain: {
            family: 'bridge',
            table: 'fw',
            name: 'f',
            type: 'filter',
            hook: 'forward',
            prio: 0,
            policy,
          },
        },
        {
          rule: {
            family: 'bridge',
            table: 'fw',
            chain: 'f',
            handle: 3,
            expr: [{ match: { op: '==', left: { meta: { key } }, right: iifname } }, { [verdict]: null }],
          },
        },
      ],
    }),
    '',
  );
const stopped = (ruleset: ReturnType<typeof rules>) =>
  stoppedVifs(bridged, parseConfig('', 'vifd.toml'), { links }, ruleset);
const none = parseRuleset('{"nftables": []}', '');

test('nothing of others, and a rule for another interface, stop no vif', () => {
  expect(stopped(none)).toEqual([]);
  expect(stopped(rules('accept', 'vif9.0', 'drop'))).toEqual([]);
  expect(aboutFirewalls([], { ruleset: none, unreadLegacy: [] })).toEqual([]);
});

test('on a bridge without an uplink a rule about one vif does not stop its neighbours', () => {
  const others = [7, 8].map((index) =>
    link(index, `vif${index}.0`, { parent: `vif-${index}-0`, master: index === 7 ? 2 : undefined }),
  );
  const without = linkView([...[...links.all()].filter(({ name }) => name !== 'eth1'), ...others]);
  const ruleset = rules('accept', 'vif5.0', 'drop');
  const found = stoppedVifs(bridged, parseConfig('', 'vifd.toml'), { links: without }, ruleset);
  expect(found.map(({ vif }) => vif)).toEqual(['vif5.0']);
});

test('a rule for one vif stops that one, a policy all: a finding, with the remedy of the first', () => {
  expect(stopped(rules('accept', 'vif6.0', 'drop')).map(({ vif }) => vif)).toEqual(['vif6.0']);
  expect(stopped(rules('accept', 'vif6.0', 'drop', 'oifname')).map(({ vif }) => vif)).toEqual(['vif6.0']);
  const ruleset = rules('drop', 'vif9.0', 'accept');
  expect(aboutFirewalls(stopped(ruleset), { ruleset, unreadLegacy: ['ip'] })).toEqual([
    {
      check: 'firewall',
      severity: 'warning',
      message:
        'the chain bridge fw f drops bridged packets of the guest by its policy on xenbr0: vif5.0, vif6.0',
      remedy:
        'nft insert rule bridge fw f iifname "vif5.0" accept; nft insert rule bridge fw f oifname "vif5.0" accept; the same for vif6.0',
    },
    expect.objectContaining({ message: 'iptables-legacy has a filter table, which cannot be read' }),
  ]);
});
