/**
 * Cuts a stream of JSON objects, which nothing separates (RFC 7047, section 4), into one text an object. A message may
 * come in many pieces, and a piece may hold many messages.
 */
export class JsonSplitter {
  #rest = '';
  /** How far `#rest` has been looked at, and where that look stands. */
  #at = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Takes the next piece in and returns the objects it completes. @throws when it is no JSON object */
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
    throw new Error(`a JSON object was expected and ${JSON.stringify(character)} came`);
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
