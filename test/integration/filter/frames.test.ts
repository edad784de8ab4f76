import { afterEach, beforeEach, expect, it } from 'vitest';
import { attack } from '../../frames/attack.js';
import { attackers } from '../../frames/attackers.js';
import type { Tally } from '../../frames/compare.js';
import { told } from '../../frames/difference.js';
import { countInputs } from '../../frames/inputs.js';
import { Domnet } from '../../support/net/domnet.js';

let domnet: Domnet;
beforeEach(async () => {
  domnet = await Domnet.start();
});
afterEach(() => domnet.stop());

// `npm run frames` has more of them, and other seeds.
it.each(['bridge', 'openvswitch', 'route', 'nat'] as const)(
  'of random frames the kernel passes those that docs/operate/security.md promises: %s',
  async (kind) => {
    const tally: Tally = { frames: 0, passed: 0, because: new Map() };
    const guests = await attackers(domnet, kind);
    const inputs = await countInputs(domnet);
    const attacked = await attack(guests, { frames: 9000, seed: 1 }, tally);
    expect(attacked.flatMap(({ differences }) => differences.map(told))).toEqual([]);
    if (kind === 'route' || kind === 'nat') {
      const { came, wrong } = await inputs();
      expect(wrong).toBe(0);
      expect(came).toBeGreaterThan(100);
    }
    expect(tally.passed).toBeGreaterThan(2000);
    expect(tally.frames - tally.passed).toBeGreaterThan(2000);
  },
);

it('a rule that lets too much through is found', async () => {
  const [attacker] = await attackers(domnet, 'openvswitch');
  if (attacker === undefined) throw new Error('no guest');
  await domnet.exec('nft', ['insert rule netdev vifd from_icmp accept']);
  const [attacked] = await attack([attacker], { frames: 4000, seed: 2 });
  const found = attacked?.differences ?? [];
  expect(found.length).toBeGreaterThan(0);
  expect(found.map(({ kernel }) => kernel)).not.toContain(false);
  expect(found.filter(({ promise }) => !promise.because.startsWith('ICMP'))).toEqual([]);
});
