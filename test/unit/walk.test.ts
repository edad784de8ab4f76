import { expect, test } from 'vitest';
import { type Link, linkView, vifOfLink } from '../../src/model/observed.js';
import { vifName } from '../../src/model/vif-id.js';
import { type Case, caseNames, readCase, run } from '../cases/case.js';
import { Machine } from '../fake/machine.js';

/**
 * Cases in which a vif keeps what it had before, so that it depends on where it came from; and one that leaves an MTU
 * behind at which there is no IPv6.
 */
const depends = (name: string): boolean =>
  // A vif whose card has two keeps the traffic where it is; VLANs that others have set stay, noted or not, and options that
  // none sets; a refused MTU leaves the one there was.
  /\/(degraded|twin|options|noted)-|\/mtu-refused/.test(name) ||
  ['nat/address-of-domain', 'route/ipv6-below-1280', 'openvswitch/vlans-of-others-stay'].includes(name);

const cases = caseNames()
  .filter((name) => !depends(name))
  .map(readCase);

/** Numbers from 0 to 1, the same ones for the same seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** The machine of the next case, its vif's interface being as the cases before have left it. */
function moveOn(machine: Machine, next: Case): Machine {
  const left = machine.observe().links.ofVif(next.id);
  const formerMaster = machine.links.find(({ index }) => index === left?.master)?.name;
  const moved = new Machine({ ...next, scripts: new Map([...machine.scripts, ...next.scripts]) });
  for (const port of machine.openvswitch?.ports() ?? []) {
    if (port.owner === vifName(next.id)) moved.openvswitch?.inherit(port);
  }
  const { links } = moved.observe();
  moved.links = moved.links.map((link): Link => {
    if (left === undefined || link !== links.ofVif(next.id)) return link;
    const free = links.byName(left.name) === undefined;
    const master = formerMaster === undefined ? undefined : links.byName(formerMaster)?.index;
    return {
      ...left,
      index: link.index,
      parent: link.parent,
      name: free ? left.name : link.name,
      master,
      port: master ? left.port : undefined,
    };
  });
  const device = moved.observe().links.ofVif(next.id);
  if (left !== undefined && device !== undefined)
    moved.ip.inherit(machine.ip, left.index, device.index, vifName(next.id));
  moved.nft.inherit(machine.nft, vifName(next.id));
  return moved;
}

test.each([1, 2, 3, 4])('however a vif came to a case, it ends as if it had begun there, seed %i', (seed) => {
  const next = random(seed);
  let machine = new Machine({ links: [], openvswitch: undefined, scripts: new Map(), ip: {} });
  for (let step = 0; step < 500; step++) {
    const at = cases[Math.floor(next() * cases.length)] as Case;
    machine = moveOn(machine, at);
    const { verdict } = run(at, machine);
    expect(run(at, machine).actions, `${at.name}, step ${step}`).toEqual([]);

    const fresh = new Machine(at);
    run(at, fresh);
    if (verdict.kind === 'attach') {
      expect(ends(machine, at)).toEqual(ends(fresh, at));
      expect(portsOf(machine), `${at.name}, step ${step}`).toEqual(portsOf(fresh));
      expect(ipOf(machine, at), `${at.name}, step ${step}`).toEqual(ipOf(fresh, at));
    }
    // What is off the network may keep its name and address.
    if (verdict.kind === 'refuse' || verdict.kind === 'remove')
      expect(ends(machine, at)?.master).toBeUndefined();
    // One vif's plan touches no other interface.
    const others = (links: readonly Link[]) =>
      links.filter((link) => vifOfLink(link)?.domid !== at.id.domid).map((link) => link.name);
    expect(others(machine.links)).toEqual(others(at.links));
  }
});

/** The ports in Open vSwitch, but for what an earlier case of the same netdev could read of the guest. */
const portsOf = ({ openvswitch }: Machine): unknown[] =>
  [...(openvswitch?.ports() ?? [])]
    .map(({ uuid: _, interface: row, ...port }) => ({ ...port, mac: row?.externalIds['attached-mac'] }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));

/** What is kept of a case's vif besides its interface, in no order. */
function ipOf({ ip, links }: Machine, { id }: Case): unknown {
  const index = linkView(links).ofVif(id)?.index ?? 0;
  return {
    routes: new Set(ip.routes.onDevice(index)),
    neighbours: ip.routes.neighbours(index),
    proxies: new Set(ip.routes.proxies()),
    masquerades: ip.masquerades,
    dhcp: ip.dhcp,
  };
}

/** The interface of a case's vif, but for the MTU: a port keeps the one it had when its bridge's changes. */
function ends(machine: Machine, { id, snapshot }: Case): Partial<Link> | undefined {
  const link = machine.observe().links.ofVif(id);
  if (link === undefined) return undefined;
  // What is not asked for on a port is left as it is found.
  const { mtu, alias, master, port: _port, txqueuelen: _txqueuelen, ...rest } = link;
  const isOvs = machine.links.find(({ index }) => index === master)?.kind === 'openvswitch';
  // The mark of an earlier rename is left where the name is netback's own again.
  return {
    ...rest,
    // Those that stayed come before those that were added.
    addresses: [...rest.addresses].sort((a, b) => (a.address < b.address ? -1 : 1)),
    // Open vSwitch's kernel datapath sets and takes this one itself.
    master: isOvs ? undefined : master,
    ...(snapshot?.mtu === undefined ? {} : { mtu }),
    ...(snapshot?.vifname ? { alias } : {}),
  };
}
