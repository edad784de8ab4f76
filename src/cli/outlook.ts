import type { ErrorCode } from '../model/error-codes.js';
import type { OperationError } from '../model/operation-error.js';
import { backendPath, type VifId, vifName } from '../model/vif-id.js';
import type { Step } from '../reconcile/next.js';

/** What a step says of its vif, for people. */
export interface Outlook {
  /** One line: what is to be done, or how the vif stands when nothing is. */
  readonly headline: string;
  /** Why it is off the network, or is to be taken off. */
  readonly problem?: OperationError;
  /** What is reported when another part, such as netback or ovs-vswitchd, does nothing for long. */
  readonly waitsFor?: OperationError;
  /** What it lacks, and works without. */
  readonly missing: readonly OperationError[];
}

/** What is said of a vif whose next step this is. */
export function outlook(id: VifId, step: Step): Outlook {
  const name = vifName(id);
  const missing = lacksOf(step);
  switch (step.kind) {
    case 'change':
      return { ...ofChange(id, step.verdict), missing };
    case 'start-script':
      return { headline: `attach ${name} (script)`, missing };
    case 'attached':
      return {
        headline:
          missing.length === 0
            ? `${name} is attached as it should be`
            : `${name} is attached, and goes without what follows`,
        missing,
      };
    case 'script':
      return { ...ofScript(name, step), missing };
    case 'wait':
      return { headline: waits(name, step.problem), waitsFor: step.problem, missing };
    case 'fail':
      return { headline: step.problem.message, problem: step.problem, missing };
    case 'closing':
      return { headline: `${name} is being taken away by dom0; netback is still closing it`, missing };
    case 'remove':
      return {
        headline: step.directory
          ? closed(id)
          : `there is no ${backendPath(id)}, and nothing on this host belongs to ${name}`,
        missing,
      };
  }
}

const closed = (id: VifId): string =>
  `${vifName(id)} is closed: undo what was done for it, then delete ${backendPath(id)}`;

/** What a vif lacks as things are; changes that are left may bring more to light. */
function lacksOf(step: Step): readonly OperationError[] {
  if (step.kind === 'attached') return step.missing.map(({ problem }) => problem);
  return step.verdict.kind === 'attach' ? step.verdict.missing : [];
}

function ofChange(id: VifId, verdict: (Step & { kind: 'change' })['verdict']): Omit<Outlook, 'missing'> {
  const name = vifName(id);
  switch (verdict.kind) {
    case 'attach':
      return { headline: `attach ${name} (${verdict.topology})` };
    case 'script':
      return { headline: `attach ${name} (script)` };
    case 'refuse':
      return { headline: verdict.problem.message, problem: verdict.problem };
    case 'remove':
      return {
        headline: verdict.directory
          ? closed(id)
          : `there is no ${backendPath(id)}: undo what is left of ${name}`,
      };
  }
}

function ofScript(
  name: string,
  { verdict, run, failure, silence }: Step & { kind: 'script' },
): Omit<Outlook, 'missing'> {
  const { file } = verdict.script;
  if (failure !== undefined) return { headline: failure.message, problem: failure };
  if (silence !== undefined) return { headline: waits(name, silence), waitsFor: silence };
  return {
    headline:
      run.state === 'running'
        ? `${name}: ${file} runs for it`
        : `${name}: ${file} has been run for it, and nothing is left to do`,
  };
}

/** What a vif waits for, by the code of the error that is reported when it does not come. */
const awaited: Partial<Readonly<Record<ErrorCode, string>>> = {
  'netdev-late': 'its netdev, which netback creates',
  'openvswitch-port-late': 'ovs-vswitchd, which has not taken its port; does it run?',
  'ovn-late':
    'ovn-controller, which has not said ovn-installed of its port; does it run, and has OVN a port with its iface-id?',
  'openvswitch-unreachable': "Open vSwitch's database",
};

const waits = (name: string, { code, message }: OperationError): string =>
  `${name} waits${awaited[code] === undefined ? `: ${message}` : ` for ${awaited[code]}`}`;
