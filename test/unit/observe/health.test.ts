import { expect, test } from 'vitest';
import { summary } from '../../../src/observe/health.js';

test.each([
  [[], '0 vifs'],
  [['attached'], '1 vif: 1 attached'],
  [['attached', 'failed', 'attached'], '3 vifs: 2 attached, 1 failed'],
])('%j is "%s"', (phases, text) => expect(summary(phases)).toBe(text));
