import { readFileSync } from 'node:fs';

/** A node of a heap profile as DevTools loads it; `selfSize` is what the function itself has allocated, in bytes. */
interface Node {
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly selfSize: number;
  readonly children: readonly Node[];
}

/** How much was allocated on V8's heap, and the functions that have allocated the most, themselves or by a builtin, in bytes. */
export interface Garbage {
  readonly total: number;
  readonly largest: readonly (readonly [where: string, bytes: number])[];
}

/** Reads a profile of allocations, with those that were collected since. */
export function garbageIn(file: string): Garbage {
  const by = new Map<string, number>();
  let total = 0;
  const walk = (
    { callFrame: { functionName, url, lineNumber }, selfSize, children }: Node,
    caller: string,
  ): void => {
    const at = `${functionName || '(anonymous)'} ${url.replace(/^.*\/(dist|native|node_modules)\//, '$1/')}:${lineNumber + 1}`;
    // A builtin has no file.
    const name = url === '' ? caller : at;
    by.set(name, (by.get(name) ?? 0) + selfSize);
    total += selfSize;
    for (const child of children) walk(child, name);
  };
  walk((JSON.parse(readFileSync(file, 'utf8')) as { head: Node }).head, 'V8');
  return { total, largest: [...by].sort(([, a], [, b]) => b - a).slice(0, 20) };
}
