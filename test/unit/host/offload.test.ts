import { expect, test } from 'vitest';
import { parseFeatures } from '../../../src/host/offload.js';

// As ethtool 6.1 prints them.
const text = `Features for vif5.0:
rx-checksumming: on
tx-checksumming: off
\ttx-checksum-ipv4: off [fixed]
\ttx-checksum-ip-generic: off
scatter-gather: on
tcp-segmentation-offload: off
\ttx-tcp-segmentation: off [requested on]
generic-receive-offload: off
large-receive-offload: off [fixed]
highdma: on
`;

test('features are known by their long and their short names', () => {
  expect(parseFeatures(text)).toMatchObject({
    rx: true,
    'rx-checksumming': true,
    tx: false,
    'tx-checksumming': false,
    'tx-checksum-ip-generic': false,
    sg: true,
    gro: false,
    lro: false,
    highdma: true,
  });
});

test('a feature that is off for want of another is as it was asked for, and so is what it is part of', () => {
  expect(parseFeatures(text)).toMatchObject({ tso: true, 'tx-tcp-segmentation': true, tx: false });
});

test('the name of the interface is no feature, and of no output nothing is known', () => {
  expect(parseFeatures(text)).not.toHaveProperty('Features for vif5.0');
  expect(parseFeatures('Cannot get device feature names: No such device\n')).toEqual({});
});
