import { addressValue, type Network, parseNetwork } from '../../../src/model/address.js';
import { linkLocal } from '../../support/packets/forgeries.js';

/** A vif as dom0 and the administrator wrote it: what docs/operate/security.md promises is about these. */
export interface Guest {
  readonly hold: 'nothing' | 'mac' | 'addresses';
  /** Six bytes in hex each: its own, and those of `allow_macs`. */
  readonly macs: readonly string[];
  /** Of its `ip` key and of `allow`, and the link-local address of its MAC when one of these is IPv6. */
  readonly networks: readonly Network[];
  /** It may send frames with a VLAN tag. */
  readonly tagged: boolean;
  readonly controlFrames: boolean;
}

/**
 * A guest with these MACs, its own first, and addresses, separated by blanks.
 * @throws when one of the addresses is malformed
 */
export function guestOf(
  macs: string,
  ip: string,
  { hold = 'addresses', tagged = false, controlFrames = false }: Partial<Guest> = {},
): Guest {
  const networks = ip
    .split(' ')
    .filter((text) => text !== '')
    .map((text) => {
      const network = parseNetwork(text);
      if (network === undefined) throw new Error(`not an address: ${text}`);
      return isNetwork(network) ? network : { ...network, prefix: network.family === 4 ? 32 : 128 };
    });
  const own = macs.split(' ');
  const ll = { family: 6 as const, address: linkLocal(own[0] ?? ''), prefix: 128 };
  return {
    hold,
    macs: own.map((mac) => mac.replaceAll(':', '')),
    networks: networks.some(({ family }) => family === 6) ? [...networks, ll] : networks,
    tagged,
    controlFrames,
  };
}

/** Whether an entry is a network, and not one address in it: its host bits are 0, and there are more than one. */
function isNetwork({ family, address, prefix }: Network): boolean {
  const bits = BigInt((family === 4 ? 32 : 128) - prefix);
  return bits > 1n && addressValue({ family, address }) % (1n << bits) === 0n;
}

export const speaks = ({ networks }: Guest, family: 4 | 6): boolean =>
  networks.some((network) => network.family === family);

/** Whether six bytes are one of the guest's MACs. */
export const isMacOf = ({ macs }: Guest, bytes: Buffer): boolean => macs.includes(bytes.toString('hex'));

/** Whether an address, of 4 or 16 bytes, is one of the guest's. */
export function owns({ networks }: Guest, address: Buffer): boolean {
  const family = address.length === 4 ? 4 : 6;
  return networks.some((network) => network.family === family && contains(network, address));
}

function contains(network: Network, address: Buffer): boolean {
  const shift = BigInt(address.length * 8 - network.prefix);
  return BigInt(`0x${address.toString('hex')}`) >> shift === addressValue(network) >> shift;
}
