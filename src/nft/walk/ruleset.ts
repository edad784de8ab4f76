/** A statement or an expression, as libnftables-json(5) has it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A chain at a hook: a packet that passes it is judged by its rules, and by its policy where none decides. */
export interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string;
  /** `filter`, `nat` or `route`; the first packet of a connection alone passes one of `nat`. */
  readonly type: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
  /** The devices of a chain at ingress or egress; empty elsewhere. */
  readonly devices: readonly string[];
}

export interface Rule {
  readonly handle: number;
  readonly statements: readonly { readonly [key: string]: Json }[];
  /** The rule as nft(8) prints it; empty where it is not known. */
  readonly text: string;
}

/** All of nf_tables, or of iptables-legacy, which hooks itself in beside it. */
export interface Ruleset {
  /** In the order in which the kernel passes a packet through those of one hook. */
  readonly base: readonly BaseChain[];
  rules(of: Pick<BaseChain, 'family' | 'table'>, chain: string): readonly Rule[];
  has(of: Pick<BaseChain, 'family' | 'table'>, chain: string): boolean;
  /** The elements of a named set or map; undefined where there is none. */
  elements(of: Pick<BaseChain, 'family' | 'table'>, set: string): readonly Json[] | undefined;
}

/** The name that stands for the filter table of iptables-legacy; its family is `ip` or `ip6`. */
export const legacyTable = 'iptables-legacy';

type Fields = { readonly [key: string]: Json };

/** What a listing has as text and not as JSON: the devices of base chains, and the rules as nft(8) prints them. */
interface Texts {
  readonly devices: ReadonlyMap<string, readonly string[]>;
  readonly rules: ReadonlyMap<string, string>;
}

/**
 * Reads a listing.
 * @param json of `nft -j list ruleset`
 * @param text of `nft -a -s list ruleset`: the JSON of old releases has no devices, and none has the options of a match of iptables
 */
export function parseRuleset(json: string, text: string): Ruleset {
  const { nftables } = JSON.parse(json) as { nftables: readonly { readonly [kind: string]: Fields }[] };
  const texts = parseTexts(text);
  const base: BaseChain[] = [];
  const chains = new Map<string, Rule[]>();
  const sets = new Map<string, readonly Json[]>();
  for (const entry of nftables) {
    const [kind = '', fields = {}] = Object.entries(entry)[0] ?? [];
    const { family, table, name } = fields as { family: string; table: string; name: string };
    const at = `${family} ${table}`;
    if (kind === 'chain') {
      chains.set(`${at} ${name}`, []);
      if (typeof fields.hook !== 'string') continue;
      base.push({
        family,
        table,
        name,
        hook: fields.hook,
        type: String(fields.type),
        priority: Number(fields.prio),
        policy: fields.policy === 'drop' ? 'drop' : 'accept',
        devices: texts.devices.get(`${at} ${name}`) ?? [],
      });
    } else if (kind === 'rule') {
      const handle = Number(fields.handle);
      const statements = (fields.expr ?? []) as Rule['statements'];
      const rule = { handle, statements, text: texts.rules.get(`${at} ${handle}`) ?? '' };
      chains.get(`${at} ${fields.chain as string}`)?.push(rule);
    } else if (kind === 'set' || kind === 'map') {
      sets.set(`${at} ${name}`, (fields.elem ?? []) as readonly Json[]);
    }
  }
  return {
    base: base.sort((a, b) => a.priority - b.priority),
    rules: (of, chain) => chains.get(`${of.family} ${of.table} ${chain}`) ?? [],
    has: (of, chain) => chains.has(`${of.family} ${of.table} ${chain}`),
    elements: (of, set) => sets.get(`${of.family} ${of.table} ${set}`),
  };
}

function parseTexts(text: string): Texts {
  const devices = new Map<string, string[]>();
  const rules = new Map<string, string>();
  let [table, chain] = ['', ''];
  for (const line of text.split('\n').map((one) => one.trim())) {
    const opened = /^(table|chain) (\S+(?: \S+)?) \{/.exec(line);
    if (opened?.[1] === 'table') table = opened[2] ?? '';
    else if (opened?.[1] === 'chain') chain = opened[2] ?? '';
    else if (/^type \w+ hook /.test(line)) {
      const list = /\bdevices? (?:= )?(?:\{ (.*?) \}|"(.*?)")/.exec(line);
      const names = (list?.[1] ?? list?.[2] ?? '').split(',').map((one) => one.trim().replaceAll('"', ''));
      devices.set(`${table} ${chain}`, names.filter(Boolean));
    } else {
      const [, rule = '', handle] = /^(.*?) # handle (\d+)$/.exec(line) ?? [];
      if (handle !== undefined && rule !== '') rules.set(`${table} ${handle}`, rule);
    }
  }
  return { devices, rules };
}

/** Several rulesets that hook in side by side. */
export function together(rulesets: readonly Ruleset[]): Ruleset {
  const of = (at: Pick<BaseChain, 'family' | 'table'>): Ruleset | undefined =>
    rulesets.find(({ base }) => base.some(({ family, table }) => family === at.family && table === at.table));
  return {
    base: rulesets.flatMap(({ base }) => base).sort((a, b) => a.priority - b.priority),
    rules: (at, chain) => of(at)?.rules(at, chain) ?? [],
    has: (at, chain) => of(at)?.has(at, chain) ?? false,
    elements: (at, set) => of(at)?.elements(at, set),
  };
}
