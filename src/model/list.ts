/** Whether two lists have the same items in the same order. */
export const sameList = <T>(
  a: readonly T[],
  b: readonly T[],
  isSame: (a: T, b: T) => boolean = Object.is,
): boolean => a.length === b.length && a.every((item, at) => isSame(item, b[at] as T));
