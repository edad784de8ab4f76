import { describe, expect, test } from 'vitest';
import { makeVifId, parseBackendDevice, parseBackendPath, parseVifName } from '../../../src/model/vif-id.js';

describe('what a watch event is about', () => {
  test.each([
    ['backend', { kind: 'above', domid: undefined }],
    ['backend/vif', { kind: 'above', domid: undefined }],
    ['backend/vif/5', { kind: 'above', domid: 5 }],
    ['backend/vif/5/0', { kind: 'vif', id: { domid: 5, devid: 0 }, key: '' }],
    ['backend/vif/5/12/state', { kind: 'vif', id: { domid: 5, devid: 12 }, key: 'state' }],
    ['backend/vif/5/0/a/b', { kind: 'vif', id: { domid: 5, devid: 0 }, key: 'a/b' }],
    ['backend/vif/x', { kind: 'other' }],
    ['backend/vif/5/x', { kind: 'other' }],
    ['backend/vif/05/0', { kind: 'other' }],
    ['backend/vbd/5/0', { kind: 'other' }],
    ['backend/vifs', { kind: 'other' }],
  ])('%s', (path, subject) => expect(parseBackendPath(path)).toEqual(subject));
});

test.each([
  ['vif5.0', { domid: 5, devid: 0 }],
  ['vif32751.65535', { domid: 32751, devid: 65535 }],
  ['vif5.0-emu', undefined],
  ['vif5', undefined],
  ['vif05.0', undefined],
  ['vif5.65536', undefined],
  ['xvif5.0', undefined],
])('the netdev name %s', (name, id) => expect(parseVifName(name)).toEqual(id));

test.each([
  ['vif-5-0', { domid: 5, devid: 0 }],
  ['vbd-5-0', undefined],
  ['vif-5', undefined],
])('the backend device %s', (name, id) => expect(parseBackendDevice(name)).toEqual(id));

test.each([
  ['-1', '0'],
  ['5', '1e1'],
  ['5', ''],
  [undefined, '0'],
  ['65536', '0'],
])('%s and %s make no vif', (domid, devid) => expect(makeVifId(domid, devid)).toBeUndefined());
