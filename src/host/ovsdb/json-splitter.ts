/**
 * Splits a stream of JSON objects without separators (RFC 7047, section 4) into one text an object. A message may come in
 * many pieces, and a piece may hold many messages.
 */
export class JsonSplitter {
  #rest = '';
  /** How many characters of `#rest` have been scanned, and the scanner's state there. */
  #at = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Adds the next piece. @returns the texts of the objects it completes @throws when something else than an object begins */
  push(piece: string): string[] {
    this.#rest += piece;
    const complete: string[] = [];
    let start = 0;
    for (; this.#at < this.#rest.length; this.#at++) {
      if (this.#depth === 0 && this.#isBlank(this.#rest[this.#at])) continue;
      this.#step(this.#rest[this.#at]);
      if (this.#depth > 0) continue;
      complete.push(this.#rest.slice(start, this.#at + 1));
      start = this.#at + 1;
    }
    this.#rest = this.#rest.slice(start);
    this.#at -= start;
    return complete;
  }

  #isBlank(character: string | undefined): boolean {
    if (character === '{') return false;
    if (character !== undefined && ' \t\r\n'.includes(character)) return true;
    throw new Error(`expected a JSON object and received ${JSON.stringify(character)}`);
  }

  #step(character: string | undefined): void {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inString && character === '\\') this.#escaped = true;
    else if (character === '"') this.#inString = !this.#inString;
    else if (this.#inString) return;
    else if (character === '{' || character === '[') this.#depth++;
    else if (character === '}' || character === ']') this.#depth--;
  }
}
