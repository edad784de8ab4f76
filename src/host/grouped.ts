/** Values by a key that several may have. */
export class Grouped<Key, Value> {
  readonly #groups = new Map<Key, Set<Value>>();

  /** Those with a key, in the order in which they were added. */
  of(key: Key): Value[] {
    return [...(this.#groups.get(key) ?? [])];
  }

  all(): Value[] {
    return [...this.#groups.values()].flatMap((values) => [...values]);
  }

  add(key: Key, value: Value): void {
    this.#groups.set(key, (this.#groups.get(key) ?? new Set()).add(value));
  }

  delete(key: Key, value: Value): void {
    const values = this.#groups.get(key);
    values?.delete(value);
    if (values?.size === 0) this.#groups.delete(key);
  }
}
