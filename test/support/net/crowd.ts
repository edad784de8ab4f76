import { exec, until } from '../process/exec.js';
import type { Vif } from './domnet.js';

// Many vifs of one driver domain, whose guests' ends are in one namespace, since none of them says anything.

/** Makes the netdevs of all at once, as netback does. @param carrier whether the guests' ends are up, as those of running guests */
export async function addNetdevs(vifs: readonly Vif[], { carrier }: { carrier: boolean }): Promise<void> {
  const domnet = vifs[0]?.domnet;
  if (domnet === undefined) return;
  const peers = await domnet.guestNamespace(999);
  const links = vifs.map(
    ({ name, domid }) =>
      `link add ${name} address fe:ff:ff:ff:ff:ff type veth peer name p${domid} netns ${peers}\n`,
  );
  await exec('ip', ['-n', domnet.namespace, '-batch', '-'], { input: links.join('') });
  if (!carrier) return;
  const ups = vifs.map(({ domid }) => `link set p${domid} up\n`);
  await exec('ip', ['-n', peers, '-batch', '-'], { input: ups.join('') });
}

export async function allConnected(vifs: readonly Vif[]): Promise<void> {
  const left = new Set(vifs);
  await until(
    `${vifs.length} vifs to be connected`,
    async () => {
      for (const vif of left) {
        if ((await vif.read('hotplug-status')) !== 'connected') return false;
        left.delete(vif);
      }
      return true;
    },
    30_000,
  );
}
