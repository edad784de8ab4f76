/** One table of `vifd.nft`, taken apart. */
export interface TableRules {
  /** The comments of each chain's rules as they are installed, in order. */
  readonly marks: ReadonlyMap<string, readonly string[]>;
  /** The chains at a hook. */
  readonly hooked: ReadonlySet<string>;
  /** What a set is declared as, between braces. */
  readonly sets: ReadonlyMap<string, string>;
  /**
   * What `nft -f` takes to install it.
   * @param options.flags flags of the table
   * @param options.flush its chains that are there already, with whatever rules
   */
  text(options: { flags: string | undefined; flush: readonly string[] }): string;
}

/** The tables of a file as `vifd.nft`, which has a chain, a rule or a set a line, and a comment at each rule. */
export function parseRules(file: string): ReadonlyMap<string, TableRules> {
  const lines = file.replace(/^\s*#.*\n/gm, '').replace(/\n{2,}/g, '\n');
  return new Map(
    [...lines.matchAll(/^table (\w+ \w+) \{\n([\s\S]*?)^\}\n/gm)].map(([, name = '', body = '']) => [
      name,
      parseTable(name, body),
    ]),
  );
}

function parseTable(table: string, body: string): TableRules {
  // Rules do not compare: nft lists them in other words than it was given, and in others again in the next release.
  const mark = digest(body);
  const marked = body.replace(/ comment "([^"]*)"/g, ` comment "$1 #${mark}"`);
  const marks = new Map<string, readonly string[]>();
  const hooked = new Set<string>();
  for (const [, chain = '', rules = ''] of marked.matchAll(/^\tchain (\w+) \{\n([\s\S]*?)^\t\}\n/gm)) {
    marks.set(
      chain,
      [...rules.matchAll(/ comment "([^"]*)"\n/g)].map(([, comment = '']) => comment),
    );
    if (/^\t\ttype /m.test(rules)) hooked.add(chain);
  }
  const sets = new Map(
    [...body.matchAll(/^\tset (\w+) \{ (.*) \}\n/gm)].map(([, set = '', definition = '']) => [
      set,
      definition,
    ]),
  );
  return {
    marks,
    hooked,
    sets,
    text: ({ flags, flush }) =>
      [
        ...flush.map((chain) => `flush chain ${table} ${chain}\n`),
        `table ${table} {\n`,
        flags === undefined ? '' : `\tflags ${flags};\n`,
        marked,
        '}',
      ].join(''),
  };
}

/** 53 bits of a string, in hex (cyrb53): tells versions apart, and is no defence against anybody. */
function digest(text: string): string {
  let h1 = 0xdeadbeef;
  let h2 = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    h1 = Math.imul(h1 ^ code, 2654435761);
    h2 = Math.imul(h2 ^ code, 1597334677);
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909);
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909);
  return (4294967296 * (2097151 & h2) + (h1 >>> 0)).toString(16);
}
