/** A rule that did not hold, and what was expected and seen. */
export class Broken extends Error {
  readonly rule: string;
  readonly lines: readonly string[];

  constructor(rule: string, lines: readonly string[]) {
    super(`${rule}: ${lines.join('; ')}`);
    this.rule = rule;
    this.lines = lines;
  }
}
