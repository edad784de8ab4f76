import { expect, test } from 'vitest';
import { printHolding } from '../../../src/cli/holding.js';
import { parseConfig } from '../../../src/config/config.js';
import { filterFor, isOff } from '../../../src/decide/antispoof.js';
import { holdingOf } from '../../../src/decide/holding.js';
import type { Holding } from '../../../src/model/holding.js';
import { snapshot } from '../../../src/model/snapshot.js';

const mac = '00:16:3e:00:05:00';

/** What a vif on xenbr0 is held to by a configuration. */
function held(toml: string, keys: Record<string, string>): Holding {
  const config = parseConfig(toml, 'vifd.toml');
  const vif = snapshot({ domid: 5, devid: 0 }, new Map(Object.entries({ online: '1', mac, ...keys })));
  const of = { topology: 'bridge', bridge: 'xenbr0' } as const;
  const filtered = filterFor(vif, config, of);
  if ('problem' in filtered) throw new Error(filtered.problem.message);
  return holdingOf(filtered.filter, isOff(vif, config, of));
}

test.each([
  [
    'not held, for want of an address',
    '',
    {},
    [
      'antispoof off: it may send from any address: it has no ip key and [antispoof] mode is "auto"; give it ip=…, or [[vif]] antispoof = "mac"',
      'control frames are dropped',
    ],
  ],
  [
    'not held, by the mode',
    '[antispoof]\nmode = "off"',
    { ip: '10.0.0.5' },
    ['antispoof off: it may send from any address: by the configuration', 'control frames are dropped'],
  ],
  [
    'not held, by a table',
    '[[vif]]\nbridge = "xenbr0"\nantispoof = "off"',
    { ip: '10.0.0.5' },
    ['antispoof off: it may send from any address: by the configuration', 'control frames are dropped'],
  ],
  [
    'not held, and open to all',
    '[antispoof]\ncontrol_frames = true',
    {},
    [
      'antispoof off: it may send from any address: it has no ip key and [antispoof] mode is "auto"; give it ip=…, or [[vif]] antispoof = "mac"',
      'control frames pass',
    ],
  ],
  [
    'a table of another bridge',
    '[[vif]]\nbridge = "other"\nantispoof = "off"',
    { ip: '10.0.0.5' },
    ['antispoof addresses', `may send from ${mac}`, 'and speak from 10.0.0.5', 'control frames are dropped'],
  ],
  [
    'held to its MACs',
    '[[vif]]\nantispoof = "mac"\nallow_macs = ["00:00:5e:00:01:07"]\ncontrol_frames = true',
    {},
    [
      'antispoof mac',
      `may send from ${mac} 00:00:5e:00:01:07`,
      'and speak from any address',
      'control frames pass',
    ],
  ],
  [
    'held to its addresses, those of the configuration and the link-local one of its MAC included',
    '[[vif]]\nallow = ["192.0.2.0/24", "2001:db8::7"]\nallow_macs = ["00:00:5e:00:01:07"]',
    { ip: '10.0.0.5' },
    [
      'antispoof addresses',
      `may send from ${mac} 00:00:5e:00:01:07`,
      'and speak from 10.0.0.5 192.0.2.0/24 2001:db8::7 fe80::216:3eff:fe00:500',
      'control frames are dropped',
    ],
  ],
])('%s', (_what, toml, keys, lines) => {
  expect(printHolding(held(toml, keys)).map((line) => line.join(' '))).toEqual(lines);
});

test('a routed vif without an address speaks from none; what is not known is left out', () => {
  const vif = snapshot({ domid: 5, devid: 0 }, new Map(Object.entries({ online: '1', mac })));
  const filtered = filterFor(vif, parseConfig('', 'vifd.toml'), {
    topology: 'route',
    networks: [],
    reverse: true,
  });
  const holding = holdingOf('filter' in filtered ? filtered.filter : undefined, false);
  expect(printHolding(holding)[2]).toEqual(['and speak from', 'none: it has no address']);
  expect(printHolding(null)).toEqual([]);
  expect(printHolding(undefined)).toEqual([]);
});
