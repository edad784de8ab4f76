import { styleText } from 'node:util';
import type { LogLine } from '../support/net/domnet.js';

const width = 100;
type Style = Parameters<typeof styleText>[0];

const levels: Record<string, Style> = { info: 'green', warn: 'yellow', error: 'red', fatal: 'red' };

/** The output of the demo: numbered steps, the actions of each with their actor, and the daemon's log meanwhile. */
export class Screen {
  readonly #output: NodeJS.WriteStream;
  #step = 0;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  step(title: string): void {
    this.text(`\n${this.#paint('bold', `${++this.#step}. ${title}`)}`);
  }

  /** An action of libxl, netback, a guest or an administrator. */
  act(actor: string, what: string): void {
    this.#line(this.#paint('cyan', actor.padEnd(9)), 12, what);
  }

  /** A result that was checked. */
  found(what: string): void {
    this.#line(this.#paint('green', '✔'.padEnd(9)), 12, what);
  }

  failed(what: string): void {
    this.#line(this.#paint('red', '✘'.padEnd(9)), 12, what);
  }

  /** A line of the daemon's log, as a journal shows it: time, level, message, fields. */
  log({ time, level, msg, domid: _domid, devid: _devid, ...fields }: LogLine): void {
    const clock = new Date(String(time)).toISOString().slice(11, 23);
    const told = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${/\s/.test(String(value)) ? `"${value}"` : value}`);
    const head = `│ ${clock} ${level.padEnd(5)}`;
    this.#line(this.#paint(levels[level] ?? 'gray', head), 23, [msg, ...told].join(' '));
  }

  text(text: string): void {
    this.#output.write(`${text}\n`);
  }

  #paint(style: Style, text: string): string {
    return this.#output.isTTY && process.env.NO_COLOR === undefined ? styleText(style, text) : text;
  }

  /** Breaks at blanks; the lines after the first begin below the first line's text. */
  #line(head: string, indent: number, text: string): void {
    const lines = [''];
    for (const word of text.split(' ')) {
      const line = lines.at(-1) as string;
      if (line === '') lines[lines.length - 1] = word;
      else if (indent + line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
      else lines.push(word);
    }
    this.text(`  ${head} ${lines.join(`\n${' '.repeat(indent)}`)}`);
  }
}
