import { remedyFor } from '../../../nft/walk/remedy.js';
import type { BaseChain } from '../../../nft/walk/ruleset.js';
import { explain, nameChain, type Passage } from '../../../nft/walk/walk.js';
import { error, type Finding, ok, warning } from '../finding.js';
import type { WayFacts } from './facts.js';

/** What the kernel's filters do with one packet, chain by chain, as findings of one stage. */
export function judgePassages(
  stage: string,
  what: string,
  passages: readonly Passage[],
  { ruleset }: WayFacts,
  remedy: (chain: BaseChain, passage: Passage) => string = () => '',
): Finding[] {
  const findings: Finding[] = [];
  for (const passage of passages) {
    const { chain, outcome, isCertain } = passage;
    if (outcome === 'drop') {
      const text = `${nameChain(chain)} ${explain(passage).replace(' it ', ` ${what} `)}`;
      const how =
        remedy(chain, passage) ||
        `nft list chain ${chain.family} ${chain.table} ${chain.name} shows its rules`;
      findings.push(
        isCertain
          ? error(stage, text, how)
          : warning(
              stage,
              `${text}, unless a rule before accepts them that asks for more than is known here`,
              how,
            ),
      );
    } else if (!isCertain) {
      const shows = `nft list chain ${chain.family} ${chain.table} ${chain.name}`;
      findings.push(
        warning(
          stage,
          `${nameChain(chain)} may drop ${what}: a rule asks for more than is known here`,
          `${shows} shows its rules`,
        ),
      );
    }
  }
  if (findings.length > 0 || !('base' in ruleset)) return findings;
  const names = [...new Set(passages.map(({ chain }) => nameChain(chain)))];
  return names.length === 0 ? [] : [ok(stage, `${what} pass ${names.join(', ')}`)];
}

/** That the filters cannot be read, where they cannot. */
export function unreadable({ ruleset, unreadLegacy }: Pick<WayFacts, 'ruleset' | 'unreadLegacy'>): Finding[] {
  return [
    ...('base' in ruleset
      ? []
      : [warning('firewall', `nf_tables cannot be read: ${ruleset.reason}`, 'apt install libnftables1')]),
    ...unreadLegacy.map((family) =>
      warning(
        'firewall',
        `${family}tables-legacy has a filter table, which cannot be read`,
        `apt install iptables, and see ${family}tables-legacy -S`,
      ),
    ),
  ];
}

export { remedyFor };
