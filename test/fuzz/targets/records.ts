import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LastEvents } from '../../../src/hooks/last-events.js';
import { Blocks } from '../../../src/host/blocks.js';
import { parseResolvers } from '../../../src/host/dhcp/resolvers.js';
import { recordedRuns } from '../../../src/host/process/scripts.js';
import { parseVifName } from '../../../src/model/vif-id.js';
import type { Target } from '../targets.js';

let made: string | undefined;
const directory = (): string => {
  if (made === undefined) {
    made = mkdtempSync(join(tmpdir(), 'vifd-fuzz-'));
    mkdirSync(join(made, 'kept'));
  }
  return join(made, 'kept');
};

/** What is kept on disk, as another release, a full disk or an administrator has left it: passed over where it is no record. */
export const records: Target = {
  name: 'records',
  seeds: [
    '{"file":"/etc/xen/scripts/vif-mine","gatewaydev":"","state":"online"}',
    '{"event":"attach","vif":"vif5.0","uuid":"x","topology":"bridge"}',
    '{"vif":"vif5.0","since":"2026-01-01T00:00:00.000Z","by":"uid 0","mac":"00:16:3e:00:00:05","bridge":"xenbr0"}',
    'nameserver 192.0.2.1 # x\n; y\nsearch example\nnameserver fe80::1%eth0\n',
  ],
  words: [
    '"file":',
    '"state":',
    '"event":',
    '"vif":',
    '"mac":',
    'null',
    '{}',
    '[]',
    '"running"',
    'nameserver ',
    '\r\n',
  ],
  longest: 400,
  run(input) {
    for (const name of ['vif5.0.json', 'vif5.0']) writeFileSync(join(directory(), name), input);
    for (const [name, { file, state }] of recordedRuns(directory()))
      if (parseVifName(name) === undefined || typeof file !== 'string' || typeof state !== 'string')
        throw new Error('not a record of a script');
    for (const name of Blocks.open(directory()).all().keys())
      if (typeof name !== 'string') throw new Error('not a block');
    new LastEvents(directory(), () => undefined);
    for (const address of parseResolvers([input.toString('utf8')]))
      if (!/^[0-9a-f.:]+$/i.test(address)) throw new Error(`no resolver: ${address}`);
  },
  close() {
    if (made !== undefined) rmSync(made, { recursive: true });
    made = undefined;
  },
};
