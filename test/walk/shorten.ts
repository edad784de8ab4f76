/** Bounds for {@link shorten}. */
export interface Bounds {
  /** Told of each list that still fails. */
  readonly shorter?: (length: number) => void;
  /** When to be content with what there is. */
  readonly enough?: () => boolean;
}

/**
 * The shortest list found of which no part can be left out without it ceasing to fail: delta debugging (Zeller and
 * Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), with the last element always kept, since a
 * list ends with what failed.
 */
export async function shorten<T>(
  list: readonly T[],
  fails: (list: readonly T[]) => Promise<boolean>,
  { shorter, enough = () => false }: Bounds = {},
): Promise<readonly T[]> {
  const last = list.slice(-1);
  let rest = list.slice(0, -1);
  let parts = 2;
  const tried = new Set<string>();
  const stillFails = async (candidate: readonly T[]): Promise<boolean> => {
    const key = JSON.stringify(candidate);
    if (tried.has(key)) return false;
    tried.add(key);
    return await fails([...candidate, ...last]);
  };
  if (rest.length > 0 && (await stillFails([]))) return last;
  while (rest.length > 0 && !enough()) {
    const size = Math.ceil(rest.length / parts);
    let found: readonly T[] | undefined;
    // The later a step is the more likely it matters: begin with leaving out the first.
    for (let at = 0; at < rest.length && found === undefined && !enough(); at += size) {
      const candidate = [...rest.slice(0, at), ...rest.slice(at + size)];
      if (await stillFails(candidate)) found = candidate;
    }
    if (found !== undefined) {
      rest = [...found];
      parts = Math.max(2, Math.min(parts - 1, rest.length));
      shorter?.(rest.length + 1);
    } else if (size > 1) {
      parts = Math.min(rest.length, 2 * parts);
    } else {
      break;
    }
  }
  return [...rest, ...last];
}
