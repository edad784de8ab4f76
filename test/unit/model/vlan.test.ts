import { expect, test } from 'vitest';
import { parseVlans, vlanRanges } from '../../../src/model/vlan.js';

/** `10p` for the PVID, `10u` for untagged, `10` for tagged. */
const short = (text: string): string => {
  const vlans = parseVlans(text);
  return typeof vlans === 'string'
    ? vlans
    : vlans.map(({ vid, pvid, untagged }) => `${vid}${pvid ? 'p' : untagged ? 'u' : ''}`).join(' ');
};

test.each([
  ['10', '10p'],
  ['10p', '10p'],
  ['10u', '10p'],
  ['10-10', '10p'],
  ['10p/20', '10p 20'],
  ['20/10p', '10p 20'],
  ['1p/10-12/20-21u', '1p 10 11 12 20u 21u'],
  ['10p/100+10x4', '10p 100 110 120 130 140'],
  ['10p/100+10x0', '10p 100'],
  ['10p/100+10x2u', '10p 100u 110u 120u'],
  ['4094p/1', '1 4094p'],
])('%s is %s', (text, vlans) => {
  expect(short(text)).toBe(vlans);
});

test('a PVID implies untagged', () => {
  expect(parseVlans('10p/20')).toEqual([
    { vid: 10, pvid: true, untagged: true },
    { vid: 20, pvid: false, untagged: false },
  ]);
});

test.each([
  ['10/20', /must be the PVID/],
  ['10-20', /must be the PVID/],
  ['10p/20p', /only one VLAN can be the PVID, and 2/],
  ['0', /VLAN 0 is not between 1 and 4094/],
  ['4095p/1', /VLAN 4095 is not/],
  ['10p/4090-4095', /VLAN 4095 is not/],
  ['10p/4000+100x1', /VLAN 4100 is not/],
  ['10p/100+0x1', /VLAN 100 is given more than once/],
  ['10p/5-15', /VLAN 10 is given more than once/],
  ['10p/10', /VLAN 10 is given more than once/],
  ['10p/30-20', /the range 30-20 goes down/],
  ['10p/20-30p', /each part of it has to be one of/],
  ['10p/100+10x4p', /each part of it has to be one of/],
  ['10p/', /each part of it has to be one of/],
  ['/10p', /each part of it has to be one of/],
  [' 10', /each part of it has to be one of/],
  ['0x10', /each part of it has to be one of/],
  ['10pu', /each part of it has to be one of/],
  ['10p/100+10', /each part of it has to be one of/],
  ['10P', /each part of it has to be one of/],
  ['99999', /each part of it has to be one of/],
])('%s is refused', (text, reason) => {
  expect(short(text)).toMatch(reason);
});

test('the longest list is all VLANs', () => {
  const all = parseVlans('1p/2-4094');
  expect(all).toHaveLength(4094);
  expect(vlanRanges(all as never)).toEqual([
    { first: 1, last: 1, pvid: true, untagged: true },
    { first: 2, last: 4094, pvid: false, untagged: false },
  ]);
});

test('ranges are of VLANs that are alike, and the PVID is none', () => {
  expect(vlanRanges(parseVlans('9-12/13p/14-15u/16u/18u') as never)).toEqual([
    { first: 9, last: 12, pvid: false, untagged: false },
    { first: 13, last: 13, pvid: true, untagged: true },
    { first: 14, last: 16, pvid: false, untagged: true },
    { first: 18, last: 18, pvid: false, untagged: true },
  ]);
});
