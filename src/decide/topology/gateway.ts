import type { Network } from '../../model/address.js';
import type { ErrorCode } from '../../model/error-codes.js';
import type { IpState } from '../../model/ip.js';
import type { Link, LinkView } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import { hasNoRoute } from '../../model/router-addresses.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';

// The device by which routed guests reach the network outside.

/** The gateway device: the one that is named, or that of the default route. */
export const gatewayOf = (named: string | undefined, links: LinkView, ip: IpState): Link | undefined =>
  named === undefined ? (defaultLink(4, links, ip) ?? defaultLink(6, links, ip)) : links.byName(named);

/** The device the default route leads through. */
function defaultLink(version: 4 | 6, links: LinkView, { routes }: IpState): Link | undefined {
  const index = routes.defaultDevice(version);
  return index === undefined ? undefined : links.byIndex(index);
}

/** Why there is no gateway device, or none with the address that is needed; undefined when there is. */
export function whyNoGateway(
  snapshot: VifSnapshot,
  wanted: string | undefined,
  gateway: Link | undefined,
  networks: readonly Network[],
): OperationError | undefined {
  if (gateway === undefined) return noGateway(snapshot, wanted);
  const needsV4 = networks.length === 0 || networks.some(({ family }) => family === 4);
  if (!needsV4 || addressOf(gateway, 4) !== undefined) return undefined;
  const reason = 'it has no IPv4 address; give it one, or name another gatewaydev';
  return routing('gateway-address-missing', snapshot, `by ${gateway.name}`, reason);
}

const noGateway = (snapshot: VifSnapshot, wanted: string | undefined): OperationError =>
  wanted === undefined
    ? routing(
        'gateway-missing',
        snapshot,
        'by the default route',
        'there is none; set gatewaydev, or gateway_device in [route]',
      )
    : routing('gateway-missing', snapshot, `by ${wanted}`, 'no such device');

/** A device's first address of a family that is not link-local, nor one by which vifs advertise their router. */
export const addressOf = (link: Pick<Link, 'addresses'> | undefined, family: 4 | 6): Network | undefined =>
  link?.addresses.find(
    (network) => network.family === family && !network.address.startsWith('fe80:') && !hasNoRoute(network),
  );

export const routing = (
  code: ErrorCode,
  { id }: VifSnapshot,
  target: string,
  reason: string,
): OperationError => problem(code, `route ${vifName(id)}`, target, reason);
