import { basename } from 'node:path';
import { vifName } from '../../model/vif-id.js';
import type { Facts } from './facts.js';
import type { Files } from './files.js';
import { error, type Finding, ok, warning } from './finding.js';
import { type Device, glob, networkManagerKeepsOff } from './network-manager.js';

/** Other agents that would attach the same vifs: `xl devd`, and udev rules of old Xen releases. */
export function aboutRivals({ processes, files, postHooks = [] }: Facts): Finding[] {
  const devd = processes.some((line) => /(^|\/)xl( .*)? devd( |$)/.test(line));
  const rules = files.udev.filter(({ text }) => text.split('\n').some(runsForVifs));
  return [
    devd
      ? error(
          'xl devd',
          'it runs, and attaches and deletes the same vifs',
          'systemctl disable --now xendriverdomain.service',
        )
      : ok('xl devd', 'does not run'),
    ...postHooks.map((path) =>
      warning(
        'hooks',
        `${path} is sourced by the stock scripts, and vifd does not run it`,
        'make it a program in [hooks] directory; docs/operate/migrating.md has its variables by the names there',
      ),
    ),
    ...rules.map(({ path }) =>
      error(
        'udev',
        `${path} runs hotplug scripts for vifs`,
        `remove it, or mask it with an empty file of that name in /etc/udev/rules.d`,
      ),
    ),
  ];
}

/** Whether a line of udev rules runs a program for vifs; rules for other backends, like vbd, do not count. */
const runsForVifs = (line: string): boolean =>
  /^[^#]*xen-backend.*RUN/.test(line) && (/vif/.test(line) || !/(KERNEL|XENBUS_TYPE\})==/.test(line));

/** The address that netback gives every netdev, and vifd leaves. */
const vifMac = 'fe:ff:ff:ff:ff:ff';

/** The devices to ask for: one as netback names it, which stands for all, and those that vifname= names otherwise. */
function devicesOf({ xenstore }: Facts): { device: Device; what: string }[] {
  const renamed = 'reason' in xenstore ? [] : xenstore.vifs.filter(({ vifname }) => vifname !== undefined);
  return [
    { device: { name: 'vif1.0', mac: vifMac }, what: 'vif*' },
    ...renamed.map(({ id, vifname = '' }) => ({
      device: { name: vifname, mac: vifMac },
      what: `${vifname}, the interface of ${vifName(id)}`,
    })),
  ];
}

/** Programs that would configure the interfaces of vifs, by their own rules: systemd-networkd and NetworkManager. */
export function aboutClaims(facts: Facts): Finding[] {
  const { files, networkdRuns, networkManagerRuns } = facts;
  return devicesOf(facts).flatMap(({ device, what }) => {
    const pattern = device.name === 'vif1.0' ? 'vif*' : device.name;
    const claiming = networkdRuns ? networkdClaim(device, files.networkd) : undefined;
    const isManaged = networkManagerRuns && !networkManagerKeepsOff(device, files.networkManager, files.udev);
    return [
      ...(claiming === undefined
        ? []
        : [
            warning(
              'systemd-networkd',
              `${claiming} matches ${what}, so networkd configures ${pattern === 'vif*' ? 'them' : 'it'} too`,
              `match the uplink by its own name, or put a file before it that matches ${pattern} with Unmanaged=yes`,
            ),
          ]),
      ...(isManaged
        ? [
            warning(
              'NetworkManager',
              `it may configure ${what}`,
              `in /etc/NetworkManager/conf.d: [keyfile] unmanaged-devices+=interface-name:${pattern}`,
            ),
          ]
        : []),
    ];
  });
}

/** The .network file by which networkd configures vifs: the first by name of those that match (systemd.network(5)). */
function networkdClaim(device: Device, files: Files): string | undefined {
  const byName = [...files].sort((a, b) => (basename(a.path) < basename(b.path) ? -1 : 1));
  const used = byName.find(({ text }) => matchesDevice(device, text));
  const released = /^\s*Unmanaged\s*=\s*(yes|true|y|t|1|on)\s*$/im.test(used?.text ?? '');
  return released ? undefined : used?.path;
}

/** Keys of [Match] about the machine instead of the interface (systemd.network(5)); taken to match. */
const ofMachine = /^(Host|Virtualization|KernelCommandLine|KernelVersion|Credential|Architecture|Firmware)$/i;

/** Whether a .network file's [Match] matches a vif's netdev. */
function matchesDevice({ name, mac }: Device, text: string): boolean {
  const section = /^\s*\[Match\]\s*$([\s\S]*?)(?=^\s*\[|(?![\s\S]))/im.exec(text)?.[1] ?? '';
  const asked = [...section.matchAll(/^\s*(\w+)\s*=\s*(.*?)\s*$/gm)]
    .map(([, key = '', value = '']) => ({ key, patterns: value.split(/\s+/) }))
    .filter(({ key }) => !ofMachine.test(key));
  return (
    asked.length > 0 &&
    asked.every(({ key, patterns }) => {
      const inverted = patterns[0]?.startsWith('!') === true;
      // netback's interfaces have no kind, so only an inverted pattern matches.
      if (/^kind$/i.test(key)) return inverted;
      const values: { readonly [key: string]: string } = {
        name,
        type: 'ether',
        macaddress: mac,
        driver: 'vif',
      };
      const value = values[key.toLowerCase()];
      // A match by path or property is meant for another interface.
      if (value === undefined) return false;
      return (
        patterns.some((pattern) =>
          glob(pattern.replace(/^!/, '').toLowerCase()).test(value.toLowerCase()),
        ) !== inverted
      );
    })
  );
}
