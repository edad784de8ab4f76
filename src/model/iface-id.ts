import type { VifSnapshot } from './snapshot.js';
import { vifName } from './vif-id.js';

/** What a template of `iface-id` may name, by what a vif has of it; undefined where it has none. */
const parts = {
  mac: ({ mac }: VifSnapshot) => mac,
  domid: ({ id }: VifSnapshot) => String(id.domid),
  devid: ({ id }: VifSnapshot) => String(id.devid),
  vif: ({ id }: VifSnapshot) => vifName(id),
  'iface-id': ({ ifaceId }: VifSnapshot) => ifaceId,
};

type Part = keyof typeof parts;

export const ifaceIdParts = Object.keys(parts) as Part[];

const named = /\{([^{}]*)\}/g;

/** A template of `iface-id` that tells vifs apart; undefined where it names nothing of a vif, or what there is not. */
export function parseIfaceId(text: string): string | undefined {
  const names = [...text.matchAll(named)].map(([, name = '']) => name);
  const isKnown = names.length > 0 && names.every((name) => Object.hasOwn(parts, name));
  return isKnown && /^[!-~]{1,200}$/.test(text.replace(named, 'x')) && !/[{}]/.test(text.replace(named, ''))
    ? text
    : undefined;
}

/** The `iface-id` of a vif, or what of the template it does not have. */
export function ifaceIdOf(
  template: string,
  vif: VifSnapshot,
): { readonly id: string } | { readonly lacks: Part } {
  const lacks = ifaceIdParts.find((name) => template.includes(`{${name}}`) && parts[name](vif) === undefined);
  if (lacks !== undefined) return { lacks };
  return { id: template.replace(named, (_, name: Part) => parts[name](vif) ?? '') };
}
