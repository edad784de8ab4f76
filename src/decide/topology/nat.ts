import { formatNetwork, hostOf, type Network, networkOf, ofFamily } from '../../model/address.js';
import { type Dependency, netdev } from '../../model/dependency.js';
import type { Attached } from '../../model/desired.js';
import { hostServices, type Service } from '../../model/filter.js';
import { noIp } from '../../model/ip.js';
import type { Link, ObservedState } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import { servingRouter } from '../../model/router-addresses.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { filterFor } from '../antispoof.js';
import { forwardedPorts } from '../forwards.js';
import { standby, twinsOf } from '../twins.js';
import { uplinksOf } from '../vif-options.js';
import { vifMac } from './bridge.js';
import { advertisingSysctls, dhcp6Port, givenByDhcp6, leaseOf, routerAddresses6, servedBy } from './dhcp.js';
import { whyNeeded } from './domain-needs.js';
import { guestKeysOf } from './guest-keys.js';
import { guestAddresses } from './nat-addresses.js';
import { conflictOf } from './nat-conflict.js';
import { routerOf } from './nat-router.js';
import { routerFor } from './nat-router-choice.js';
import { hasOnLink, onLinkOf, onLinkSysctls } from './on-link.js';
import { overruled } from './overruled.js';
import { atTwin, deviceName, isRoutedTo, waysOut } from './routed-link.js';
import { whyNoIpv6 } from './routed-losses.js';
import { routerSysctls } from './router-sysctls.js';
import type { Attachment, Topology } from './topology.js';

/** `vif-nat`: the guest has an address that is not seen outside; the domain routes, and masquerades what leaves it. */
export const nat: Topology = {
  name: 'nat',
  attach(
    snapshot: VifSnapshot,
    config: VifPolicy,
    observed: ObservedState,
    attached: Attached | undefined,
  ): Attachment {
    const ip = observed.ip ?? noIp;
    const own = observed.links.ofVif(snapshot.id);
    const twins = twinsOf(snapshot, observed.links);
    const chosen = guestAddresses(snapshot, config.nat, twins, observed, ip);
    const named = uplinksOf(snapshot, 'problem' in chosen ? [] : chosen.addresses.map(hostOf), config);
    const dependsOn: Dependency[] = [
      { kind: 'rules' },
      { kind: 'next-hops' },
      { kind: 'forwarding' },
      ...(named?.map(netdev) ?? [{ kind: 'default-route' as const }]),
    ];
    dependsOn.push(...twins.dependsOn);
    if ('problem' in chosen)
      return { problem: chosen.problem, dependsOn: [...dependsOn, ...chosen.dependsOn] };
    const all = chosen.addresses;
    dependsOn.push(...all.map(({ address }): Dependency => ({ kind: 'address', address })));
    const no6 = all.some(({ family }) => family === 6) ? whyNoIpv6(snapshot, observed) : undefined;
    const guests = no6 === undefined ? all : all.filter(({ family }) => family === 4);
    const v4 = guests.filter(({ family }) => family === 4);
    const v6 = guests.filter(({ family }) => family === 6);
    const found = new Map(
      v4.map((guest) => [
        guest,
        guest === chosen.planned?.guest
          ? chosen.planned.router
          : routerFor(guest, snapshot, twins, observed, ip),
      ]),
    );
    dependsOn.push(...v4.map((guest): Dependency => ({ kind: 'address', address: routerOf(guest).address })));
    const router = (guest: Network): Network => found.get(guest) ?? routerOf(guest);
    const routers = v4.map(router);
    const conflict = conflictOf(guests, routers, snapshot, twins, observed, ip);
    if (conflict !== undefined && !conflict.isPassed) {
      return { problem: conflict.problem, dependsOn: [...dependsOn, ...conflict.dependsOn] };
    }
    if (conflict !== undefined) dependsOn.push(...conflict.dependsOn);
    const lacking = v4.find((guest) => found.get(guest) === undefined);
    const no4 = lacking && noRouter(snapshot, lacking);
    if (no4 !== undefined) dependsOn.push({ kind: 'any-netdev' });
    if (no4 !== undefined && attached === undefined) return { problem: no4, dependsOn };
    const needed = whyNeeded(guests.map(hostOf), snapshot, observed);
    if (needed !== undefined && (attached === undefined || !isRoutedTo(own, guests.map(hostOf), ip)))
      return { problem: needed, dependsOn };
    if (no6 !== undefined) dependsOn.push({ kind: 'ipv6-of', device: deviceName(snapshot) });

    const ways = (family: 4 | 6): Link[] =>
      named === undefined
        ? waysOut(family, observed.links, ip).filter(({ index }) => index !== own?.index)
        : named.map((name) => observed.links.byName(name)).filter((link) => link !== undefined);
    const around = [...new Set([...ways(4), ...ways(6)].map(({ name }) => name))];
    // A device that is renamed keeps its default route, of which there is no news then.
    dependsOn.push(...around.map(netdev));
    const sharesLink = v6.length > 0 && hasOnLink(snapshot);
    if (sharesLink) dependsOn.push({ kind: 'guests6' });
    const servesDhcp = config.nat.dhcp === 'dnsmasq';
    const given6 = config.nat.routerAdvertisements ? givenByDhcp6(v6) : [];
    const advertises = given6.length > 0;
    const served: Service[] = [
      ...(servesDhcp ? ['dhcp' as const] : []),
      ...(advertises ? [dhcp6Port] : []),
      ...((servesDhcp || advertises) && config.nat.dns.length === 0 ? ['dns' as const] : []),
    ];
    const filtered = filterFor(snapshot, config, {
      topology: 'nat',
      networks: all.map(hostOf),
      reverse: true,
      protectHost: hostServices('vif', [...config.nat.services, ...served]),
    });
    if ('problem' in filtered) return { ...filtered, dependsOn };
    const isTwins = atTwin(own, twins, guests.map(hostOf), ip);
    const kept = guests.filter((guest) => !isTwins(hostOf(guest)));
    const forwarded = forwardedPorts(snapshot, config.forwards, kept, ways, observed);
    dependsOn.push(...forwarded.dependsOn);
    const [first] = v4.filter((guest) => kept.includes(guest));
    const [firstRouter] = routers;
    const asksRouter = config.nat.dns.length === 0;
    const [dns4, dns6] = [ofFamily(config.nat.dns, 4), ofFamily(config.nat.dns, 6)];
    const resolvers = asksRouter
      ? [
          ...(servesDhcp ? routers.slice(0, 1).map(({ address }) => address) : ofFamily(ip.resolvers, 4)),
          ...(advertises ? [servingRouter.address] : ofFamily(ip.resolvers, 6)),
        ]
      : config.nat.dns;
    const elsewhere = asksRouter && (servesDhcp || !config.nat.guestKeys) ? [] : ofFamily(resolvers, 4);
    return {
      desired: {
        link: {
          mac: vifMac,
          mtu: snapshot.mtu,
          master: null,
          // As hosts: as the /16 it is, every vif would claim the same network.
          addresses: [
            ...routers.map(hostOf),
            ...(v6.length > 0 ? routerAddresses6(snapshot, advertises) : []),
          ],
        },
        ...filtered,
        ...standby(snapshot, guests.length > 0 && guests.every((guest) => isTwins(hostOf(guest)))),
        ip: {
          routes: kept.map((guest) => ({
            to: hostOf(guest),
            source: guest.family === 4 ? router(guest).address : undefined,
          })),
          neighbours: kept.map(hostOf),
          mac: snapshot.mac,
          proxies: { device: 0, name: '', hosts: [] },
          onLink: sharesLink ? onLinkOf(snapshot, own, observed) : [],
          sysctls: [
            ...routerSysctls(
              deviceName(snapshot),
              [...ways(4), ...ways(6)],
              undefined,
              { links: observed.links, ip },
              v6.length > 0,
            ),
            ...(sharesLink ? onLinkSysctls(deviceName(snapshot)) : []),
            ...(advertises ? advertisingSysctls(deviceName(snapshot)) : []),
          ],
          masquerades: kept.flatMap((guest) =>
            ways(guest.family).map(({ name }) => ({ address: hostOf(guest), uplink: name })),
          ),
          forwards: {
            out: named ?? around,
            in: [],
            bound: named !== undefined,
            hidden: true,
            tracked: true,
            ...(elsewhere.length === 0 ? {} : { resolvers: elsewhere }),
          },
          ...servedBy(served),
          dhcp: leaseOf(snapshot, 'nat', config, {
            v4: {
              guest: first,
              router: firstRouter?.address,
              dns: asksRouter ? routers.slice(0, 1).map(({ address }) => address) : dns4,
              servesNames: true,
            },
            v6: {
              guests: given6.filter(({ address }) => kept.some((one) => one.address === address)),
              dns: asksRouter ? [servingRouter.address] : dns6,
            },
            addresses: all.map(hostOf),
          }),
          ...guestKeysOf(snapshot, 'nat', config, {
            guests: kept,
            router: first && router(first).address,
            resolvers,
          }),
          ...(forwarded.ports.length === 0 ? {} : { ports: forwarded.ports }),
          resumes: attached !== undefined,
          twins: twins.links.map(({ index }) => index),
        },
      },
      dependsOn,
      missing: [
        ...(conflict === undefined ? [] : [conflict.problem]),
        ...(no4 === undefined ? [] : [no4]),
        ...(no6 === undefined ? [] : [no6]),
        ...missingWayOut(snapshot, named, v4, ways(4)),
        ...missingWayOut(snapshot, named, v6, ways(6)),
        ...forwarded.missing,
        ...overruled(snapshot, kept.map(hostOf), around, observed),
        ...(needed === undefined ? [] : [needed]),
      ],
    };
  },
};

/** What to say of a guest in whose network no address can be its router's. */
const noRouter = ({ id }: VifSnapshot, guest: Network): OperationError =>
  problem(
    'address-needed',
    `give ${vifName(id)} the router`,
    routerOf(guest).address,
    `it is a next hop or a resolver of this domain, or in another device's network, as all of ${formatNetwork(networkOf(guest))} is; give the guest an address elsewhere by ip`,
  );

/** What to say of addresses that are not masqueraded because nothing leads out. */
function missingWayOut(
  { id }: VifSnapshot,
  named: readonly string[] | undefined,
  guests: readonly Network[],
  ways: readonly Link[],
): OperationError[] {
  const [first] = guests;
  if (first === undefined || ways.length > 0) return [];
  const reason =
    named === undefined
      ? `there is no IPv${first.family} default route`
      : `there is no device ${named.join(' or ')}`;
  return [problem('way-out-missing', `masquerade ${vifName(id)} as`, first.address, reason)];
}
