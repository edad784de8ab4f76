import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The unit that runs dnsmasq where systemd runs vifd. */
export const unit = 'vifd-dnsmasq.service';
/** The configuration that it is started with. */
export const unitConf = '/run/vifd/dhcp/dnsmasq.conf';
/** Whether systemd runs vifd: it sets NOTIFY_SOCKET for units of Type=notify. */
export const underSystemd = process.env.NOTIFY_SOCKET !== undefined;

/** Restarts the unit. @returns false where there is no such unit @throws when it does not start */
export async function restartUnit(): Promise<boolean> {
  if ((await systemctl('restart', unit)) !== undefined) return true;
  const state = await systemctl('show', '--value', '--property=LoadState', unit);
  // A second server inside vifd's sandbox may not bind its port; where systemd does not answer now, it is asked again.
  if (state?.trim() === 'not-found' || (state === undefined && !underSystemd)) return false;
  throw new Error(`${unit} does not start: see "systemctl status ${unit}"`);
}

/** Sends SIGHUP to the unit. @returns false where it does not run */
export const hangUpUnit = async (): Promise<boolean> =>
  (await systemctl('kill', '--kill-who=main', '--signal=HUP', unit)) !== undefined;

export async function stopUnit(): Promise<void> {
  await systemctl('stop', unit);
}

/** The output of systemctl; undefined where it failed or is not installed. */
const systemctl = (...args: string[]): Promise<string | undefined> =>
  promisify(execFile)('systemctl', args).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
