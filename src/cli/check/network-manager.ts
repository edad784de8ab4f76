import { basename } from 'node:path';
import type { Files } from './files.js';

/** A vif's netdev as NetworkManager and systemd-networkd see it: an Ethernet device without a kind, of the driver `vif`. */
export interface Device {
  readonly name: string;
  readonly mac: string;
}

/** Whether NetworkManager leaves a device alone, by its configuration or by udev's. */
export function networkManagerKeepsOff(device: Device, conf: Files, udev: Files): boolean {
  return (
    isListed(device, conf) || isManagedBySection(device, conf) === false || isUnmanagedByUdev(device, udev)
  );
}

interface Section {
  readonly name: string;
  readonly entries: readonly { readonly key: string; readonly appends: boolean; readonly value: string }[];
}

/** In the order in which NetworkManager reads them (nm-config.c): the later one prevails. */
const places = [/^\/usr\/lib\//, /^\/run\//, /\/NetworkManager\.conf$/, /./];
const inOrder = (conf: Files): Files[number][] => {
  const rank = (path: string): number => places.findIndex((place) => place.test(path));
  return [...conf].sort(
    (a, b) => rank(a.path) - rank(b.path) || (basename(a.path) < basename(b.path) ? -1 : 1),
  );
};

function parse(text: string): Section[] {
  const sections: { name: string; entries: Section['entries'][number][] }[] = [];
  for (const line of text.split('\n').map((one) => one.trim())) {
    const name = /^\[(.*)\]$/.exec(line)?.[1];
    if (name !== undefined) sections.push({ name, entries: [] });
    const [, key, plus, value = ''] = /^([\w-]+)\s*(\+?)=\s*(.*)$/.exec(line) ?? [];
    if (key !== undefined) sections.at(-1)?.entries.push({ key, appends: plus === '+', value });
  }
  return sections;
}

/** `unmanaged-devices` of [keyfile]; `+=` adds to what earlier files have. */
function isListed(device: Device, conf: Files): boolean {
  let list = '';
  for (const { text } of inOrder(conf)) {
    for (const { name, entries } of parse(text)) {
      if (name !== 'keyfile') continue;
      for (const { key, appends, value } of entries)
        if (key === 'unmanaged-devices') list = appends ? `${list};${value}` : value;
    }
  }
  return matchesSpecs(device, list);
}

/** `managed` of the first [device…] section that matches; a later file's sections come first. */
function isManagedBySection(device: Device, conf: Files): boolean | undefined {
  for (const { text } of inOrder(conf).reverse()) {
    for (const { name, entries } of parse(text)) {
      if (!/^device(-|$)/.test(name)) continue;
      const of = (key: string) => entries.find((entry) => entry.key === key)?.value;
      const match = of('match-device');
      const managed = of('managed');
      if (managed === undefined || (match !== undefined && !matchesSpecs(device, match))) continue;
      return !/^(0|no|false|off)$/i.test(managed);
    }
  }
  return undefined;
}

/** A list of device specs (NetworkManager.conf(5), "Device List Format"). A list of exceptions alone means all others. */
function matchesSpecs(device: Device, list: string): boolean {
  const specs = list
    .split(/[,;]/)
    .map((one) => one.trim())
    .filter(Boolean);
  const excepted = specs.filter((spec) => spec.startsWith('except:')).map((spec) => spec.slice(7));
  const plain = specs.filter((spec) => !spec.startsWith('except:'));
  if (excepted.some((spec) => matchesSpec(device, spec))) return false;
  return plain.length === 0 ? excepted.length > 0 : plain.some((spec) => matchesSpec(device, spec));
}

function matchesSpec({ name, mac }: Device, spec: string): boolean {
  const [, tag, value = ''] = /^([a-z0-9-]+):(.*)$/.exec(spec) ?? [];
  switch (tag) {
    case 'interface-name':
      return value.startsWith('=') ? value.slice(1) === name : glob(value.replace(/^~/, '')).test(name);
    case 'mac':
      return value.toLowerCase() === mac;
    case 'type':
      return value === 'ethernet';
    case 'driver':
      return glob(value).test('vif');
    default:
      // Without a tag it is a MAC address, the name itself, or everything.
      return spec === '*' || spec === name || spec.toLowerCase() === mac;
  }
}

/** Whether a rule of udev sets NM_UNMANAGED for a device, by its name or its address. */
function isUnmanagedByUdev({ name, mac }: Device, udev: Files): boolean {
  return udev.some(({ text }) =>
    text.split('\n').some((line) => {
      if (!/^[^#]*ENV\{NM_UNMANAGED\}="1"/.test(line)) return false;
      const asked = [...line.matchAll(/([A-Z]+(?:\{\w+\})?)\s*==\s*"([^"]*)"/g)].filter(
        ([, key = '']) => !/^(ACTION|SUBSYSTEM)$/.test(key),
      );
      const values: { readonly [key: string]: string } = {
        KERNEL: name,
        NAME: name,
        'ENV{INTERFACE}': name,
        'ATTR{address}': mac,
      };
      return (
        asked.length > 0 &&
        asked.every(([, key = '', patterns = '']) => {
          const value = values[key];
          return value !== undefined && patterns.split('|').some((one) => glob(one).test(value));
        })
      );
    }),
  );
}

/** A regular expression for a pattern of these programs: `*`, `?`, `[…]` and `[!…]`. */
export function glob(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|\\]/g, '\\$&').replaceAll('[!', '[^');
  try {
    return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`);
  } catch {
    return /$^/;
  }
}
