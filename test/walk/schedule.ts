import { guestOf, has4, ownIp, ownIp6, smallNetwork, spoofed } from './addresses.js';
import {
  bridges,
  handFaults,
  isConnected,
  isRouted,
  type Keys,
  type Model,
  nftFaults,
  type Step,
  type StepKind,
  serving,
  type Topology,
  topologies,
  uplinks,
  vlans,
} from './model.js';
import type { Random } from './random.js';
import { entangled, usable } from './settle.js';
import { possible } from './steps.js';

/** How often each kind is tried, compared with the others. */
export const weights: Readonly<Record<StepKind, number>> = {
  come: 26,
  go: 9,
  force: 5,
  rush: 3,
  reuse: 5,
  reconnect: 4,
  rewrite: 12,
  script: 4,
  'same-address': 3,
  'same-name': 3,
  apart: 6,
  'take-name': 2,
  'free-name': 5,
  replace: 5,
  rename: 4,
  down: 4,
  bridge: 5,
  uplink: 6,
  address: 5,
  default: 9,
  uplinks: 4,
  blink: 6,
  hijack: 4,
  nft: 9,
  hand: 6,
  dnsmasq: 1,
  ovsdb: 2,
  vswitchd: 2,
  vifd: 6,
  xenstored: 3,
  quiet: 1,
};
export const stepKinds = Object.keys(weights) as StepKind[];

/** What else a schedule is drawn by. */
export interface Choice {
  readonly kinds: readonly StepKind[];
  readonly topologies: readonly Topology[];
  /** Steps that have one of these in their JSON are not taken. */
  readonly skip: readonly string[];
}
export const everything: Choice = { kinds: stepKinds, topologies, skip: [] };

/** Draws the next step, one that can be taken now. */
export function draw(random: Random, model: Model, choice: Choice = everything): Step {
  for (let tries = 0; tries < 2000; tries++) {
    const step = propose(random, model, choice, weighted(random, choice.kinds, model));
    if (step === undefined || !possible(step, model)) continue;
    const text = JSON.stringify(step);
    if (!choice.skip.some((part) => text.includes(part))) return step;
  }
  throw new Error('no step is possible: allow more kinds');
}

function weighted(random: Random, kinds: readonly StepKind[], model: Model): StepKind {
  // What is broken does not stay so for long: most faults are to be met by many steps, but not by all.
  const urgent: StepKind[] = [
    ...(model.vifd ? [] : (['vifd'] as const)),
    ...(model.xenstored ? [] : (['xenstored'] as const)),
    ...(model.ovsdb ? [] : (['ovsdb'] as const)),
    ...(model.vswitchd ? [] : (['vswitchd'] as const)),
    ...(bridges.every((name) => model.bridges[name]) ? [] : (['bridge'] as const)),
    ...(uplinks.every((name) => usable(model.uplinks[name])) ? [] : (['uplink', 'address'] as const)),
    ...(model.defaultRoute === undefined ? (['default'] as const) : []),
  ].filter((kind) => kinds.includes(kind));
  if (urgent.length > 0 && random.chance(0.3)) return random.pick(urgent);
  const total = kinds.reduce((sum, kind) => sum + weights[kind], 0);
  let at = random.next() * total;
  for (const kind of kinds) {
    at -= weights[kind];
    if (at < 0) return kind;
  }
  return kinds[0] as StepKind;
}

function keysFor(random: Random, topology: Topology, slot: number): Keys {
  const mtu = random.chance(0.12) ? { mtu: random.pick([1200, 1400]) } : {};
  const vifname = random.chance(0.25) ? { vifname: `eve${slot}` } : {};
  const othermac = random.chance(0.1) ? { othermac: true } : {};
  // Only Open vSwitch has VLANs here: elsewhere the key keeps a vif off.
  const vlan = random.chance(topology === 'openvswitch' ? 0.4 : 0.04) ? { vlan: random.pick(vlans) } : {};
  return { ...topologyKeys(random, topology, slot), ...mtu, ...vifname, ...othermac, ...vlan };
}

function topologyKeys(random: Random, topology: Topology, slot: number): Keys {
  switch (topology) {
    case 'bridge':
      return {
        bridge: random.chance(0.07) ? 'nobr0' : random.pick(bridges),
        ...(random.chance(0.5) ? { ip: ownIp('bridge', slot) } : {}),
        ...(random.chance(0.3) ? { ip6: ownIp6('bridge', slot) } : {}),
      };
    case 'openvswitch':
      return { bridge: random.pick(['ovsbr0', 'ovsbr0', 'ovsbr0.10']) };
    case 'route': {
      const ip6 = { ip6: ownIp6('route', slot) };
      const both = { ip: ownIp('route', slot), ...(random.chance(0.4) ? ip6 : {}) };
      return {
        ...(random.chance(0.2) ? ip6 : both),
        ...(random.chance(0.4) ? { gatewaydev: random.pick(uplinks) } : {}),
      };
    }
    case 'nat':
      if (random.chance(0.5)) return {};
      return { ip: ownIp('nat', slot), ...(random.chance(0.5) ? { ip6: ownIp6('nat', slot) } : {}) };
  }
}

function propose(random: Random, model: Model, choice: Choice, kind: StepKind): Step | undefined {
  const of = (fits: (vif: Model['vifs'][number]) => boolean): number | undefined => {
    const fitting = model.vifs.filter(fits);
    return fitting.length === 0 ? undefined : random.pick(fitting).slot;
  };
  const present = () => of((vif) => vif.present);
  const topology = random.pick(choice.topologies);
  switch (kind) {
    case 'come': {
      const vif = of((one) => !one.present);
      return vif === undefined
        ? undefined
        : { do: kind, vif, topology, keys: keysFor(random, topology, vif) };
    }
    case 'reuse':
    case 'script': {
      const vif = present();
      return vif === undefined
        ? undefined
        : { do: kind, vif, topology, keys: keysFor(random, topology, vif) };
    }
    case 'rush': {
      const vif = of((one) => !one.present);
      if (vif === undefined) return undefined;
      const by = random.pick(['go', 'force'] as const);
      return {
        do: kind,
        vif,
        topology,
        keys: keysFor(random, topology, vif),
        by,
        after: random.below(12),
      };
    }
    case 'force': {
      const vif = present();
      return vif === undefined
        ? undefined
        : { do: kind, vif, first: random.pick(['directory', 'netdev'] as const) };
    }
    case 'go':
    case 'reconnect':
    case 'replace':
    case 'down':
    case 'take-name':
    case 'free-name': {
      const vif = present();
      return vif === undefined ? undefined : { do: kind, vif };
    }
    case 'hijack': {
      const vif = of((one) => one.present && isRouted(one));
      return vif === undefined ? undefined : { do: kind, vif };
    }
    case 'rename': {
      const vif = present();
      return vif === undefined ? undefined : { do: kind, vif, down: random.chance(0.5) };
    }
    case 'hand': {
      const vif = of((one) => one.present && isRouted(one));
      return vif === undefined ? undefined : { do: kind, vif, fault: random.pick(handFaults) };
    }
    case 'rewrite':
      return rewrite(random, model, present());
    case 'apart': {
      const vif = of((one) => entangled(one, model).length > 0);
      return vif === undefined ? undefined : { do: kind, vif };
    }
    case 'same-address': {
      // The router that goes with a given address may be another guest's address in a small network.
      const fits = (one: Model['vifs'][number]): boolean =>
        isConnected(one) && isRouted(one) && has4(one) && !guestOf(one).address.startsWith(smallNetwork);
      const slot = of(fits);
      const vif = model.vifs.find((one) => one.slot === slot);
      const other = of((one) => fits(one) && one.topology === vif?.topology && one.slot !== slot);
      return slot === undefined || other === undefined ? undefined : { do: kind, vif: slot, of: other };
    }
    case 'same-name': {
      const vif = of(isConnected);
      const other = of((one) => isConnected(one) && one.slot !== vif);
      return vif === undefined || other === undefined ? undefined : { do: kind, vif, of: other };
    }
    case 'bridge': {
      const bridge = random.pick(bridges);
      return { do: kind, bridge, there: !model.bridges[bridge] };
    }
    case 'uplink': {
      const uplink = random.pick(uplinks);
      const { there, up } = model.uplinks[uplink];
      const become = there ? (random.chance(0.5) ? 'gone' : up ? 'down' : 'up') : 'there';
      return { do: kind, uplink, become };
    }
    case 'address': {
      const uplink = random.pick(uplinks);
      return { do: kind, uplink, there: !model.uplinks[uplink].address };
    }
    case 'default':
      return { do: kind, uplink: random.chance(0.25) ? null : random.pick(uplinks) };
    case 'uplinks':
      return { do: kind, named: random.pick([null, ['up0'], ['up1'], ['up0', 'up1']] as const) };
    case 'blink':
      return {
        do: kind,
        what: random.pick(['default', 'default', 'address', 'link', 'bridge'] as const),
        ms: random.pick([0, 0, 5, 50, 200]),
      };
    case 'nft':
      return { do: kind, fault: random.pick(nftFaults) };
    case 'ovsdb':
      return { do: kind, run: !model.ovsdb };
    case 'vswitchd':
      return { do: kind, run: !model.vswitchd };
    case 'vifd': {
      const how = model.vifd
        ? random.pick(['stop', 'kill', 'reload', 'reload', 'restart', 'crash'] as const)
        : 'start';
      return { do: kind, how };
    }
    case 'xenstored':
      return { do: kind, run: !model.xenstored };
    case 'dnsmasq':
    case 'quiet':
      return { do: kind };
  }
}

function rewrite(random: Random, model: Model, slot: number | undefined): Step | undefined {
  const vif = model.vifs.find((one) => one.slot === slot);
  if (vif === undefined) return undefined;
  const { topology, keys } = vif;
  const changed = ((): Extract<Step, { do: 'rewrite' }>['keys'] => {
    switch (
      random.pick(['mtu', 'vifname', 'mac', 'vlan', 'ip6', 'topology', 'topology', 'topology'] as const)
    ) {
      case 'mtu':
        return { mtu: random.pick([1200, 1300, 1400, 1500, null]) };
      case 'vifname':
        return { vifname: random.pick([`eve${vif.slot}`, `ann${vif.slot}`, null]) };
      case 'ip6':
        return { ip6: keys.ip6 === undefined ? ownIp6(topology, vif.slot) : null };
      case 'vlan':
        return { vlan: keys.vlan === undefined && random.chance(0.3) ? random.pick(vlans) : null };
      case 'mac':
        return { othermac: keys.othermac ? null : true };
      case 'topology':
        switch (topology) {
          case 'bridge':
            return random.chance(0.5)
              ? { bridge: random.pick([...bridges, ...bridges, 'nobr0']) }
              : { ip: random.pick([null, ownIp('bridge', vif.slot), spoofed(vif.slot)]) };
          case 'openvswitch':
            return random.chance(0.5)
              ? { bridge: random.pick(['ovsbr0', 'ovsbr0.10', 'nobr0']) }
              : { vlan: random.pick([...vlans, null]) };
          case 'route':
            return random.chance(0.7)
              ? { gatewaydev: random.pick([...uplinks, null]) }
              : { ip: keys.ip === undefined ? ownIp('route', vif.slot) : null };
          case 'nat':
            return { ip: keys.ip === undefined ? ownIp('nat', vif.slot) : null };
        }
    }
  })();
  const isNew = Object.entries(changed).some(([key, value]) => (keys[key as keyof Keys] ?? null) !== value);
  return isNew ? { do: 'rewrite', vif: vif.slot, keys: changed } : undefined;
}

/** Whether the daemon could be asked for anything now. */
export const atWork = serving;
