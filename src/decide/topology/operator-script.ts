import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';

/** A script of the operator's own, which does by itself what a topology does. */
export interface OperatorScript {
  readonly name: 'script';
  /** Absolute, below one of the directories scripts may be in. */
  readonly file: string;
}

/**
 * The operator's script a vif asks for: any file below one of `[scripts] directories`. Whether it is there and safe to
 * run as root is seen when it is run.
 */
export function operatorScript(
  snapshot: VifSnapshot,
  { directories }: VifPolicy['scripts'],
  topologies: readonly string[],
): OperatorScript | { readonly problem: OperationError } {
  const file = snapshot.script ?? '';
  const parts = file.split('/');
  const plain = file.startsWith('/') && !parts.slice(1).some((part) => ['', '.', '..'].includes(part));
  if (plain && directories.some((directory) => file.startsWith(`${directory.replace(/\/+$/, '')}/`))) {
    return { name: 'script', file };
  }
  const where = directories.length === 0 ? 'scripts are not allowed' : directories.join(' or ');
  return {
    problem: problem(
      'script-unknown',
      `choose the topology of ${vifName(snapshot.id)} by script`,
      file,
      `its file name is not one of ${topologies.join(', ')}, and the operator's own scripts are those in: ${where}`,
    ),
  };
}
