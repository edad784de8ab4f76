import { type Network, parseNetwork } from '../../src/model/address.js';
import type { FilterSpec } from '../../src/model/filter.js';

/** Networks from a text with blanks between them; an empty one has none. */
export const networksIn = (text: string): Network[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((item) => parseNetwork(item) as Network);

/** A filter that holds a vif to one MAC and to these networks. */
export const filterSpec = (text = '10.0.0.5', more: Partial<FilterSpec> = {}): FilterSpec => ({
  hold: 'addresses',
  macs: ['00:16:3e:00:05:00'],
  controlFrames: false,
  networks: networksIn(text),
  tagged: false,
  reverse: false,
  protectHost: undefined,
  ...more,
});
