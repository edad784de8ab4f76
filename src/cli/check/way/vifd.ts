import { vifName } from '../../../model/vif-id.js';
import { printAction } from '../../../plan/print/print.js';
import { actionsOf } from '../../../reconcile/next.js';
import { outlook } from '../../outlook.js';
import { error, type Finding, ok, warning } from '../finding.js';
import type { WayFacts } from './facts.js';

/** Whether vifd has attached the vif, and everything that it made is there. */
export function aboutVifd({ id, snapshot, step, vifdRuns }: WayFacts): Finding[] {
  const name = vifName(id);
  const { verdict } = step;
  if (snapshot === undefined) {
    const remedy =
      'in dom0, vifd-dom0-status lists which domain serves which vif; the guest needs backend= of this domain';
    return [error('xenstore', `this domain has no backend of ${name}`, remedy)];
  }
  if (verdict.kind === 'remove' || verdict.kind === 'closing') {
    return [error('xenstore', `dom0 is taking ${name} away`, 'nothing is to be done here')];
  }
  if (verdict.kind === 'refuse') {
    return [
      error('vifd', verdict.problem.message, 'docs/operate/troubleshooting.md has the row of this message'),
    ];
  }
  if (verdict.kind === 'await-netdev') {
    return [
      error(
        'netdev',
        `netback has made none for ${name}`,
        'modprobe xen-netback; journalctl -k says why it failed',
      ),
    ];
  }
  const lacks = step.kind === 'attached' ? step.missing : [];
  // The filters of others have a stage of their own.
  const missing = lacks.filter(({ problem }) => problem.code !== 'firewall-drops');
  return [
    ...(snapshot.blocked === undefined
      ? []
      : [
          error(
            'block',
            `no frame passes: blocked since ${snapshot.blocked.since} by ${snapshot.blocked.by}`,
            `vifd allow ${name}, if the reason is gone`,
          ),
        ]),
    ...(vifdRuns ? [] : [warning('vifd', 'it does not run', 'systemctl start vifd')]),
    ...(snapshot.hotplugStatus === 'connected' || actionsOf(step).length > 0
      ? []
      : [
          error(
            'vifd',
            `hotplug-status reads "${snapshot.hotplugStatus ?? ''}", so netback does not connect`,
            vifdRuns ? `vifd status ${name} says why` : 'systemctl start vifd',
          ),
        ]),
    ...missing.map(({ problem }) =>
      warning('vifd', problem.message, 'docs/operate/troubleshooting.md has the row of this message'),
    ),
  ];
}

/** Whether everything that vifd makes for the vif is there. It comes last: the stages before say what a lack of it does. */
export function aboutState({ id, step, vifdRuns }: WayFacts): Finding[] {
  const left = actionsOf(step);
  const { headline, problem, waitsFor } = outlook(id, step);
  if (left.length === 0 && (problem ?? waitsFor) !== undefined)
    return [error('vifd', headline, 'docs/operate/troubleshooting.md has the row of this message')];
  if (left.length === 0) return [ok('vifd', `${vifName(id)} is attached as it should be`)];
  const todo = left.map(printAction).join('; ');
  const remedy = vifdRuns ? 'journalctl -u vifd tells what keeps it from that' : 'systemctl start vifd';
  return [error('vifd', `not as vifd attaches it; still to do: ${todo}`, remedy)];
}
