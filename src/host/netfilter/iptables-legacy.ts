import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseIptables } from '../../nft/walk/iptables-save.js';
import type { Ruleset } from '../../nft/walk/ruleset.js';

/** A filter table of iptables-legacy. */
interface Legacy {
  readonly family: 'ip' | 'ip6';
  /** As `iptables-legacy -S` has it. */
  readonly text: string | undefined;
  readonly ruleset: Ruleset | undefined;
}

/** The filter tables of iptables-legacy in this network namespace; without a ruleset where its program does not list it. */
export async function readLegacy(): Promise<Legacy[]> {
  const found: Legacy[] = [];
  for (const family of legacyFamilies()) {
    const text = await list(`${family}tables-legacy`);
    found.push({ family, text, ruleset: text === undefined ? undefined : parseIptables(family, text) });
  }
  return found;
}

/** The families for which iptables-legacy has a filter table. Only asking for it would make one. */
export const legacyFamilies = (): ('ip' | 'ip6')[] =>
  (['ip', 'ip6'] as const).filter((family) => names(family).includes('filter'));

/** Whether iptables-legacy has a table, of filters, NAT or another, in this network namespace. */
export const hasLegacy = (): boolean =>
  (['ip', 'ip6'] as const).some((family) => names(family).some((name) => name !== ''));

function names(family: 'ip' | 'ip6'): string[] {
  try {
    return readFileSync(`/proc/net/${family}_tables_names`, 'utf8').split('\n');
  } catch {
    return [];
  }
}

const list = (program: string): Promise<string | undefined> =>
  new Promise((resolve) => {
    const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
    execFile(program, ['-S'], { timeout: 5000, env: { ...process.env, PATH } }, (error, stdout) =>
      resolve(error === null ? stdout : undefined),
    );
  });
