import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { MetricsSource } from '../../../src/observe/instruments.js';
import { Metrics } from '../../../src/observe/metrics.js';

const dir = mkdtempSync(join(tmpdir(), 'vifd-metrics-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** A source whose drops take this many ms of CPU to read; it counts its readings. */
class Source implements MetricsSource {
  cost: number;
  drop = 0;
  traffics = 0;

  constructor(cost: number) {
    this.cost = cost;
  }

  follow = () => () => undefined;
  phases = () => [];
  connected = () => true;
  counts = () => ({ reconciliations: 0, xenstoreRequests: 0 });
  traffic = () => {
    this.traffics++;
    return new Map();
  };
  drops = async () => {
    const before = process.cpuUsage();
    for (let used = 0; used < this.cost; ) {
      const { user, system } = process.cpuUsage(before);
      used = (user + system) / 1000;
    }
    return new Map([['vif5.0', { 'source MAC': ++this.drop }]]);
  };
}

async function scrapes(source: Source, count: number): Promise<(string | undefined)[]> {
  const path = join(dir, `${source.cost}`);
  const metrics = new Metrics(source);
  await metrics.listen({ path });
  try {
    const answers: (string | undefined)[] = [];
    for (let i = 0; i < count; i++) {
      const text = await new Promise<string>((resolve, reject) => {
        request({ socketPath: path, path: '/metrics' }, async (response) => {
          let body = '';
          for await (const part of response) body += part;
          resolve(body);
        })
          .on('error', reject)
          .end();
      });
      answers.push(/vifd_antispoof_drops_total\{[^}]*\} (\d+)/.exec(text)?.[1]);
    }
    return answers;
  } finally {
    metrics.close();
  }
}

test('an answer that costs much is given again, one that costs little is made anew', async () => {
  expect(await scrapes(new Source(150), 3)).toEqual(['1', '1', '1']);
  expect(await scrapes(new Source(0), 3)).toEqual(['1', '2', '3']);
});

test('what the interfaces count is read once for a scrape', async () => {
  const source = new Source(1);
  await scrapes(source, 2);
  expect(source.traffics).toBe(2);
});
