import { guestOf, has4, nameOf, ownIp, wantedName } from './addresses.js';
import {
  type Bridge,
  bridges,
  isConnected,
  isRouted,
  type Keys,
  type Model,
  type Step,
  serving,
  type Topology,
  type Uplink,
  type VifModel,
  vifOf,
} from './model.js';
import { entangled, gatewayOf, has6, isEntangled, settle, usable } from './settle.js';

/** The model after a step, when everything has come to rest. */
export function after(model: Model, step: Step): Model {
  const changed = apply(model, step);
  if (serving(changed)) return settle(changed);
  const { vifs } = about(step, model, changed);
  return {
    ...changed,
    vifs: changed.vifs.map((vif) => (vifs.has(vif.slot) && vif.present ? { ...vif, uncertain: true } : vif)),
  };
}

/** What a step itself changes, before the daemon answers. */
function apply(model: Model, step: Step): Model {
  const change = (slot: number, to: Partial<VifModel>, more: Partial<Model> = {}): Model => ({
    ...model,
    ...more,
    vifs: model.vifs.map((vif) => (vif.slot === slot ? { ...vif, ...to } : vif)),
  });
  const uplink = (name: Uplink, to: Partial<Model['uplinks'][Uplink]>): Model => {
    const uplinks = { ...model.uplinks, [name]: { ...model.uplinks[name], ...to } };
    const lost = model.defaultRoute === name && !usable(uplinks[name]);
    const { there, up } = uplinks[name];
    const lost6 = model.defaultRoute6 === name && !(there && up);
    return {
      ...model,
      uplinks,
      defaultRoute: lost ? undefined : model.defaultRoute,
      defaultRoute6: lost6 ? undefined : model.defaultRoute6,
    };
  };
  const made = (slot: number): Partial<VifModel> => ({
    present: true,
    netdev: model.netdevs + 1,
    mtu: 1500,
    name: nameOf(slot),
    uncertain: false,
  });
  const fresh = { status: 'pending', gateway: undefined, planned: undefined, unsure: false } as const;
  const gone: Partial<VifModel> = {
    ...fresh,
    present: false,
    keys: {},
    topology: 'bridge',
    uncertain: false,
  };
  const withNetdev = { netdevs: model.netdevs + 1 };
  switch (step.do) {
    case 'come':
    case 'reuse':
      return change(
        step.vif,
        { ...made(step.vif), ...fresh, topology: step.topology, keys: step.keys },
        withNetdev,
      );
    case 'script':
      return change(step.vif, { ...fresh, topology: step.topology, keys: step.keys });
    case 'go':
    case 'force':
      return change(step.vif, { ...gone, name: nameOf(step.vif) });
    case 'rush':
      return change(step.vif, gone, withNetdev);
    case 'replace':
      return change(step.vif, made(step.vif), withNetdev);
    case 'rewrite': {
      const { keys } = vifOf(model, step.vif);
      return change(step.vif, { keys: rewritten(keys, step.keys) });
    }
    case 'same-address': {
      const { keys } = vifOf(model, step.vif);
      const of = vifOf(model, step.of);
      const { address } = guestOf(of);
      const ip = of.topology === 'nat' ? `${address}/24` : address;
      // The second NAT vif was connected under its old address; under the new one it begins anew.
      const status = of.topology === 'nat' ? fresh : {};
      return change(step.vif, { keys: { ...keys, ip }, ...status });
    }
    case 'same-name': {
      const { keys } = vifOf(model, step.vif);
      return change(step.vif, { keys: { ...keys, vifname: wantedName(vifOf(model, step.of)) } });
    }
    case 'apart': {
      const vif = vifOf(model, step.vif);
      const { vifname: _, ...keys } = vif.keys;
      return change(step.vif, {
        keys: isRouted(vif) ? { ...keys, ip: ownIp(vif.topology, vif.slot) } : keys,
      });
    }
    case 'take-name': {
      const name = takenName(step.vif);
      const { keys } = vifOf(model, step.vif);
      return change(
        step.vif,
        { keys: { ...keys, vifname: name } },
        { foreign: { ...model.foreign, [name]: step.vif } },
      );
    }
    case 'free-name': {
      const foreign = Object.entries(model.foreign).filter(([, slot]) => slot !== step.vif);
      return { ...model, foreign: Object.fromEntries(foreign) };
    }
    case 'rename':
      return change(step.vif, { name: movedName(step.vif) });
    case 'bridge':
      return { ...model, bridges: { ...model.bridges, [step.bridge]: step.there } };
    case 'uplink':
      switch (step.become) {
        case 'gone':
          return uplink(step.uplink, { there: false });
        case 'there':
          return uplink(step.uplink, { there: true, up: true, address: true });
        case 'down':
        case 'up':
          return uplink(step.uplink, { up: step.become === 'up' });
      }
      break;
    case 'address':
      return uplink(step.uplink, { address: step.there });
    case 'default':
      return { ...model, defaultRoute: step.uplink ?? undefined, defaultRoute6: step.uplink ?? undefined };
    case 'uplinks':
      return { ...model, named: step.named ?? undefined };
    case 'ovsdb':
      return { ...model, ovsdb: step.run, switching: model.switching || (step.run && model.vswitchd) };
    case 'vswitchd':
      return { ...model, vswitchd: step.run, switching: step.run && model.ovsdb };
    case 'vifd':
      return {
        ...model,
        vifd: step.how === 'stop' || step.how === 'kill' ? false : step.how === 'start' ? true : model.vifd,
      };
    case 'xenstored':
      return { ...model, xenstored: step.run };
    case 'nft':
      // A table with a chain of others stays with its notes, until both are deleted by hand at the end.
      return {
        ...model,
        notesLost: model.notesLost || !serving(model) || step.fault === 'foreign chain inet vifd',
      };
    case 'reconnect':
    case 'down':
    case 'hijack':
    case 'blink':
    case 'hand':
    case 'dnsmasq':
    case 'quiet':
      return model;
  }
  return model;
}

export const takenName = (slot: number): string => `taken${slot}`;
export const movedName = (slot: number): string => `moved${slot}`;

/** Keys with some written anew; null removes one. */
function rewritten(keys: Keys, changes: { readonly [K in keyof Keys]: Keys[K] | null }): Keys {
  return Object.fromEntries(Object.entries({ ...keys, ...changes }).filter(([, value]) => value !== null));
}

/** Whom a step may change: everything of `vifs`; of `links` also the netdev itself, which else must not even be told of. */
export interface About {
  readonly vifs: ReadonlySet<number>;
  readonly links: ReadonlySet<number>;
}

/** @param afterwards the model after the step */
export function about(step: Step, before: Model, afterwards: Model): About {
  const [vifs, links] = direct(step, before);
  const all = new Set(vifs);
  for (const slot of vifs) {
    for (const model of [before, afterwards]) {
      for (const other of entangled(vifOf(model, slot), model)) all.add(other.slot);
    }
  }
  const moved = before.vifs.filter((vif) => {
    const then = vifOf(afterwards, vif.slot);
    // What happens while no daemon can be asked is made good at once, later, or by the next one.
    return vif.status !== then.status || vif.name !== then.name || vif.uncertain;
  });
  for (const { slot } of moved) all.add(slot);
  // A daemon that only cannot ask xenstore goes on, with what it knows.
  const goesOn = afterwards.vifd && !afterwards.xenstored ? [...all] : [];
  return { vifs: all, links: new Set([...links, ...moved.map(({ slot }) => slot), ...goesOn]) };
}

function direct(step: Step, model: Model): [vifs: number[], links: number[]] {
  const those = (fits: (vif: VifModel) => boolean): number[] =>
    model.vifs.filter(fits).map(({ slot }) => slot);
  switch (step.do) {
    case 'come':
    case 'reuse':
    case 'script':
    case 'go':
    case 'force':
    case 'rush':
    case 'replace':
    case 'rename':
    case 'down':
    case 'same-name':
    case 'take-name':
    case 'free-name':
    case 'apart':
      return [[step.vif], [step.vif]];
    case 'same-address':
      return [[step.vif], []];
    case 'rewrite': {
      const onlyAddresses = Object.keys(step.keys).every((key) =>
        ['ip', 'ip6', 'othermac', 'gatewaydev'].includes(key),
      );
      return [[step.vif], onlyAddresses ? [] : [step.vif]];
    }
    case 'hijack':
    case 'hand':
      return [[step.vif], []];
    case 'bridge': {
      const ports = those((vif) => vif.topology === 'bridge' && vif.keys.bridge === step.bridge);
      return [ports, ports];
    }
    case 'blink': {
      if (step.what !== 'bridge') return [those(isRouted), []];
      const ports = those((vif) => vif.topology === 'bridge' && vif.keys.bridge === bridges[0]);
      return [ports, ports];
    }
    case 'uplink':
    case 'address':
    case 'default':
      return [those(isRouted), []];
    case 'uplinks':
      return [those(({ topology }) => topology === 'nat'), []];
    case 'nft':
      return [those(({ topology }) => topology !== 'openvswitch'), []];
    case 'vswitchd': {
      // Its packet sockets make the ports promiscuous.
      const ports = those(({ topology }) => topology === 'openvswitch');
      return [ports, ports];
    }
    case 'ovsdb': {
      // Why one is not connected is another reason then.
      const ports = those((vif) => vif.topology === 'openvswitch' && !isConnected(vif));
      return [ports, ports];
    }
    case 'reconnect':
    case 'vifd':
    case 'xenstored':
    case 'dnsmasq':
    case 'quiet':
      return [[], []];
  }
}

/** Whether a step can be taken now, and what is to come of it is certain. */
export function possible(step: Step, model: Model): boolean {
  if (usesStore.has(step.do) && !model.xenstored) return false;
  // A vif that waits for its gateway may find it while xenstored is stopped, and what is up stays up.
  const found = model.vifs.some((vif) => waitsForGateway(vif) && gatewayOf(vif, model) !== undefined);
  const loses = ['uplink', 'address', 'default', 'blink'].includes(step.do);
  if (model.vifd && !model.xenstored && found && loses) return false;
  // So does one that waits for Open vSwitch.
  const joined = model.vifs.some(
    ({ topology, status }) => topology === 'openvswitch' && status === 'pending',
  );
  const stops = (step.do === 'ovsdb' || step.do === 'vswitchd') && !step.run;
  if (model.vifd && !model.xenstored && joined && stops) return false;
  // And one that is not attached has its own name when it finds what it waits for.
  const unnamed = model.vifs.some((vif) => vif.present && vif.name !== wantedName(vif));
  const brings = ['bridge', 'uplink', 'address', 'default', 'uplinks', 'blink'].includes(step.do);
  if (model.vifd && !model.xenstored && unnamed && brings) return false;
  if (!('vif' in step)) return hostPossible(step, model);
  const vif = model.vifs.find(({ slot }) => slot === step.vif);
  if (vif === undefined || !vifPossible(step, vif, model)) return false;
  // A daemon that starts while the database is away does not take one that is down for connected.
  if (step.do === 'down' && vif.topology === 'openvswitch' && !model.vifd) return false;
  // It may have its name again by what was read before xenstored was stopped.
  if (model.vifd && !model.xenstored && vif.present && vif.name !== wantedName(vif)) return false;
  const then = vifOf(apply(model, step), step.vif);
  const rivals = entangled(then, apply(model, step)).length;
  // Of three the order is anybody's guess, and so is that of two when both come before the daemon does.
  if (rivals > 1) return false;
  const touchy = rivals > 0 || entangled(vif, model).length > 0;
  if (touchy && !serving(model)) return false;
  // Open vSwitch's port can be made and let go only while it runs.
  const switched = [vif, then].some((one) => one.present && one.topology === 'openvswitch');
  if (switched && needsSwitch.has(step.do) && !(model.ovsdb && model.switching)) return false;
  // While no key and no configuration says what its address is, a routed vif that changes is neither new nor attached.
  const routed = vif.present && then.present && then.topology === 'route' && step.do !== 'reuse';
  if (routed && changes.has(step.do) && gatewayOf(then, model) === undefined) return false;
  return true;
}

const waitsForGateway = (vif: VifModel): boolean =>
  vif.present && vif.topology === 'route' && !isConnected(vif);

const usesStore = new Set<Step['do']>([
  ...(['come', 'reuse', 'script', 'go', 'force', 'rush', 'reconnect', 'rewrite', 'same-address'] as const),
  ...(['same-name', 'apart', 'take-name', 'vifd'] as const),
]);
const needsSwitch = new Set<Step['do']>([
  'go',
  'force',
  'reuse',
  'script',
  'rewrite',
  'replace',
  'rename',
  'rush',
]);
const changes = new Set<Step['do']>(['script', 'rewrite', 'same-address', 'apart', 'replace', 'rename']);

function vifPossible(step: Step & { vif: number }, vif: VifModel, model: Model): boolean {
  const free = !isEntangled(vif, model);
  switch (step.do) {
    case 'come':
      return !vif.present;
    case 'rush':
      return !vif.present && serving(model);
    case 'reuse':
      return vif.present && free;
    case 'force':
      return vif.present;
    case 'go':
      return vif.present && serving(model);
    case 'reconnect':
      return isConnected(vif) && !vif.uncertain;
    case 'script':
      return vif.present && free && vif.topology !== step.topology;
    case 'rewrite': {
      const known = 'bridge' in step.keys ? ['bridge', 'openvswitch'].includes(vif.topology) : true;
      const { bridge } = step.keys;
      const switched = bridge === 'nobr0' || bridge?.startsWith('ovs') === (vif.topology === 'openvswitch');
      if (!vif.present || !free || !known || ('bridge' in step.keys && !switched)) return false;
      if ('ip' in step.keys && vif.topology === 'openvswitch') return false;
      if ('ip6' in step.keys && vif.topology === 'openvswitch') return false;
      // Behind NAT a guest with an address of IPv6 alone has no other.
      const { ip, ip6 } = rewritten(vif.keys, step.keys);
      if (vif.topology === 'nat' && ip === undefined && ip6 !== undefined) return false;
      if (vif.topology === 'route' && (ip ?? ip6) === undefined) return false;
      return 'gatewaydev' in step.keys ? vif.topology === 'route' : true;
    }
    case 'same-address':
    case 'same-name': {
      const of = model.vifs.find(({ slot }) => slot === step.of);
      if (of === undefined || of === vif || !serving(model) || !free || isEntangled(of, model)) return false;
      if (!isConnected(vif) || !isConnected(of)) return false;
      if (step.do === 'same-name') return of.keys.vifname !== undefined;
      return isRouted(vif) && vif.topology === of.topology && has4(vif) && has4(of);
    }
    case 'apart':
      return vif.present && entangled(vif, model).length > 0 && entangledNoMore(vif, model);
    case 'take-name': {
      const name = takenName(vif.slot);
      const isHad = model.vifs.some((one) => one.present && (one.name === name || wantedName(one) === name));
      return vif.present && free && !isHad && serving(model);
    }
    case 'free-name':
      return Object.values(model.foreign).includes(vif.slot) && serving(model);
    case 'replace':
      return vif.present && free;
    case 'down':
      return isConnected(vif);
    case 'rename':
      // A veth has no parent device by which it could be known under another name; the alias of a vifname it keeps.
      return isConnected(vif) && free && vif.keys.vifname !== undefined && vif.name === wantedName(vif);
    case 'hijack':
      return (
        isConnected(vif) &&
        isRouted(vif) &&
        has4(vif) &&
        free &&
        // An address that vifd has yet to plan, where it does not run, is planned elsewhere when another's route leads to it.
        (serving(model) || vif.topology === 'route' || vif.keys.ip !== undefined) &&
        model.uplinks.up0.there &&
        model.uplinks.up0.up
      );
    case 'hand': {
      if (!isConnected(vif) || !isRouted(vif) || !free || !serving(model)) return false;
      // The address that a gateway had which is gone is known from the vif alone.
      if (step.fault.endsWith('6') && !has6(vif)) return false;
      if (['route', 'address', 'neighbour', 'proxy'].includes(step.fault) && !has4(vif)) return false;
      if (vif.topology === 'route') return gatewayOf(vif, model) !== undefined;
      return step.fault !== 'proxy';
    }
    default:
      return false;
  }
}

const entangledNoMore = (vif: VifModel, model: Model): boolean => {
  const next = apply(model, { do: 'apart', vif: vif.slot });
  return entangled(vifOf(next, vif.slot), next).length === 0;
};

function hostPossible(step: Exclude<Step, { vif: number }>, model: Model): boolean {
  switch (step.do) {
    case 'bridge':
      return model.bridges[step.bridge] !== step.there;
    case 'uplink': {
      const { there, up } = model.uplinks[step.uplink];
      if (step.become === 'there') return !there;
      return there && (step.become === 'gone' || up === (step.become === 'down'));
    }
    case 'address': {
      const { there, address } = model.uplinks[step.uplink];
      return there && address !== step.there;
    }
    case 'default':
      if (step.uplink === null) return (model.defaultRoute ?? model.defaultRoute6) !== undefined;
      return usable(model.uplinks[step.uplink]) && model.defaultRoute !== step.uplink;
    case 'blink':
      return step.what === 'bridge' ? model.bridges[bridges[0] as Bridge] : model.defaultRoute !== undefined;
    case 'uplinks':
      return serving(model) && `${step.named ?? ''}` !== `${model.named ?? ''}`;
    case 'ovsdb':
      return model.ovsdb !== step.run;
    case 'vswitchd':
      return model.vswitchd !== step.run;
    case 'vifd':
      return (step.how === 'start') !== model.vifd;
    case 'xenstored':
      return model.xenstored !== step.run;
    case 'quiet':
    case 'dnsmasq':
      return serving(model);
    case 'nft':
      return true;
  }
}

/** Whether a schedule needs Open vSwitch to run. */
export const usesOpenVswitch = (steps: readonly Step[]): boolean =>
  steps.some(
    (step) =>
      ('topology' in step && (step.topology satisfies Topology) === 'openvswitch') ||
      step.do === 'ovsdb' ||
      step.do === 'vswitchd',
  );
