/** One table of `vifd.nft`, parsed. */
export interface TableRules {
  /** The comments of each chain's rules as installed, in order. */
  readonly marks: ReadonlyMap<string, readonly string[]>;
  /** The base chains: those at a hook. */
  readonly hooked: ReadonlySet<string>;
  /** The declaration of each set and map, between braces. */
  readonly sets: ReadonlyMap<string, string>;
  /**
   * The commands for `nft -f` that install the table.
   * @param options.flags flags of the table
   * @param options.flush its chains that exist already; their rules are replaced
   * @param options.former the chains of an earlier release that are not in it; they are deleted
   */
  text(options: { flags: string | undefined; flush: readonly string[]; former: readonly string[] }): string;
}

/** The tables of a file like `vifd.nft`, with one rule or set a line and a comment at each rule. */
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
  // A digest in each comment identifies the rules, since nft lists a rule in another form than it was given.
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
    [...body.matchAll(/^\t(?:set|map) (\w+) \{ (.*) \}\n/gm)].map(([, set = '', definition = '']) => [
      set,
      definition,
    ]),
  );
  return {
    marks,
    hooked,
    sets,
    text: ({ flags, flush, former }) =>
      [
        ...[...flush, ...former].map((chain) => `flush chain ${table} ${chain}\n`),
        `table ${table} {\n`,
        flags === undefined ? '' : `\tflags ${flags};\n`,
        marked,
        '}',
        ...former.map((chain) => `\ndelete chain ${table} ${chain}`),
      ].join(''),
  };
}

/** Whether a rule with this comment is of a release of vifd, this or an earlier one. */
export const isMarked = (comment: string): boolean => / #[\da-f]{8,14}$/.test(comment);

/** A hash of 53 bits in hex (cyrb53). It tells versions of the rules apart and needs no cryptographic strength. */
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
