import { basename } from 'node:path';
import type { Facts, Files } from './facts.js';
import { error, type Finding, ok, warning } from './finding.js';

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

/** Programs that would configure the interfaces of vifs: systemd-networkd and NetworkManager. */
export function aboutClaims({ files, networkdRuns, networkManagerRuns }: Facts): Finding[] {
  const claiming = networkdRuns ? networkdClaim(files.networkd) : undefined;
  const unmanaged = networkManagerKeepsOff(files.networkManager);
  return [
    ...(claiming === undefined
      ? []
      : [
          warning(
            'systemd-networkd',
            `${claiming} matches vif*, so networkd configures them too`,
            'match the uplink by its own name, or put a file before it that matches vif* with Unmanaged=yes',
          ),
        ]),
    ...(networkManagerRuns && !unmanaged
      ? [
          warning(
            'NetworkManager',
            'it may configure vif*',
            'in /etc/NetworkManager/conf.d: [keyfile] unmanaged-devices=interface-name:vif*',
          ),
        ]
      : []),
  ];
}

/** The .network file by which networkd configures vifs: the first by name of those that match (systemd.network(5)). */
function networkdClaim(files: Files): string | undefined {
  const byName = [...files].sort((a, b) => (basename(a.path) < basename(b.path) ? -1 : 1));
  const used = byName.find(({ text }) => matchesVif(text));
  const released = /^\s*Unmanaged\s*=\s*(yes|true|y|t|1|on)\s*$/im.test(used?.text ?? '');
  return released ? undefined : used?.path;
}

/** Keys of [Match] about the machine instead of the interface (systemd.network(5)); taken to match. */
const ofMachine = /^(Host|Virtualization|KernelCommandLine|KernelVersion|Credential|Architecture|Firmware)$/i;

/** Whether a .network file's [Match] matches netback's interfaces: vif1.0, of type ether and no kind. */
function matchesVif(text: string): boolean {
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
      const value = { name: 'vif1.0', type: 'ether' }[key.toLowerCase()];
      // A match by address, path or driver is meant for another interface.
      if (value === undefined) return false;
      return patterns.some((pattern) => glob(pattern.replace(/^!/, '')).test(value)) !== inverted;
    })
  );
}

/** A regular expression for a pattern of networkd: `*`, `?`, `[…]` and `[!…]`. */
function glob(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|\\]/g, '\\$&').replaceAll('[!', '[^');
  try {
    return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`);
  } catch {
    return /$^/;
  }
}

const networkManagerKeepsOff = (conf: Files): boolean =>
  conf.some(({ text }) => /^\s*unmanaged-devices\s*\+?=.*interface-name:vif/m.test(text));
