import { mkdirSync, writeFileSync } from 'node:fs';
import { barChart, type Span } from '../bench/svg.js';

const directory = new URL('../../docs/develop/compared/', import.meta.url);

/** Writes a chart of what took how long into the documentation. @param name its file's, without the extension */
export function writeChart(name: string, title: string, unit: string, bars: readonly Span[]): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(new URL(`${name}.svg`, directory), barChart(title, unit, bars));
}

/** A file's name for a scenario's. */
export const fileOf = (scenario: string): string =>
  scenario
    .replace(/,.*/, '')
    .replace(/[^\w]+/g, '-')
    .toLowerCase();
