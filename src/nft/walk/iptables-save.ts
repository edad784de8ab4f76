import { type BaseChain, type Json, legacyTable, type Rule, type Ruleset } from './ruleset.js';

type Statement = Rule['statements'][number];

const hooks: { readonly [chain: string]: string } = { INPUT: 'input', FORWARD: 'forward', OUTPUT: 'output' };

/**
 * Reads `iptables-legacy -S`, whose filter table is not in nf_tables: its chains become base chains of the table
 * {@link legacyTable}. Of an option that this does not know, it is not known whether it holds.
 */
export function parseIptables(family: 'ip' | 'ip6', text: string): Ruleset {
  const base: BaseChain[] = [];
  const chains = new Map<string, Rule[]>();
  for (const [number, line] of text.split('\n').entries()) {
    const [command, name = '', ...words] = split(line);
    if (command === '-P' || command === '-N') chains.set(name, []);
    const hook = hooks[name];
    if (command === '-P' && hook !== undefined) {
      const policy = words[0] === 'DROP' ? 'drop' : 'accept';
      base.push({ family, table: legacyTable, name, hook, type: 'filter', priority: 0, policy, devices: [] });
    }
    if (command === '-A') {
      chains.get(name)?.push({ handle: number, statements: parseRule(family, words), text: line });
    }
  }
  return {
    base,
    rules: (_, chain) => chains.get(chain) ?? [],
    has: (_, chain) => chains.has(chain),
    elements: () => undefined,
  };
}

/** The words of a line; what is in quotes is one. */
const split = (line: string): string[] =>
  [...line.matchAll(/"((?:\\.|[^"])*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');

function parseRule(family: 'ip' | 'ip6', words: readonly string[]): Statement[] {
  const statements: Statement[] = [];
  let op = '==';
  const match = (left: Json, right: Json): void => {
    statements.push({ match: { op, left, right } });
    op = '==';
  };
  const meta = (key: string): Json => ({ meta: { key } });
  const field = (protocol: string, name: string): Json => ({ payload: { protocol, field: name } });
  const device = (name: string): string => name.replace(/\+$/, '*');
  const port = (text: string): Json => {
    const [first = 0, last = first] = text.split(':').map(Number);
    return { range: [first, last] };
  };
  for (let i = 0; i < words.length; i++) {
    const option = words[i] ?? '';
    const next = (): string => words[++i] ?? '';
    if (option === '!') op = '!=';
    else if (option === '-i') match(meta('iifname'), device(next()));
    else if (option === '-o') match(meta('oifname'), device(next()));
    else if (option === '--physdev-in') match(meta('physin'), device(next()));
    else if (option === '--physdev-out') match(meta('physout'), device(next()));
    else if (option === '-s') match(field(family, 'saddr'), network(next()));
    else if (option === '-d') match(field(family, 'daddr'), network(next()));
    else if (option === '-p') match(meta('l4proto'), next());
    else if (option === '--sport') match(field('th', 'sport'), port(next()));
    else if (option === '--dport') match(field('th', 'dport'), port(next()));
    else if (option === '--dports') match(field('th', 'dport'), next().split(',').map(port));
    else if (option === '--ctstate' || option === '--state')
      match({ ct: { key: 'state' } }, next().toLowerCase().split(','));
    else if (option === '--dst-type')
      match({ fib: { result: 'type', flags: ['daddr'] } }, next().toLowerCase());
    else if (option === '--comment' || option === '-m') i++;
    else if (option === '-g') statements.push({ goto: { target: next() } });
    else if (option === '-j') {
      statements.push(verdict(next()));
      // The rest are options of the target.
      break;
    } else if (option.startsWith('-')) statements.push({ unknown: option });
  }
  return statements;
}

const network = (text: string): Json => {
  const [addr = '', length] = text.split('/');
  return length === undefined ? addr : { prefix: { addr, len: Number(length) } };
};

function verdict(name: string): Statement {
  if (['ACCEPT', 'DROP', 'RETURN'].includes(name)) return { [name.toLowerCase()]: null };
  if (/^[A-Z0-9]+$/.test(name) && targets.has(name)) return { xt: { type: 'target', name } };
  return { jump: { target: name } };
}

/** Targets of extensions; any other name is a chain's. */
const targets = new Set(
  'REJECT LOG NFLOG MARK CONNMARK TCPMSS CHECKSUM CT NFQUEUE QUEUE AUDIT CLASSIFY DSCP TTL HL SET TRACE SECMARK'.split(
    ' ',
  ),
);
