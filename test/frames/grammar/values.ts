import type { Network } from '../../../src/model/address.js';
import { addressValue } from '../../../src/model/address.js';
import { ip6, mac as macBytes } from '../../support/packets/frames.js';
import type { Random } from '../../walk/random.js';
import { type Guest, speaks } from '../oracle/guest.js';

/** Where a guest is: what else has an address there. */
export interface Surroundings {
  readonly guest: Guest;
  readonly otherMacs: readonly string[];
  readonly other4: readonly string[];
  readonly other6: readonly string[];
}

const special4 = ['0.0.0.0', '255.255.255.255', '127.0.0.1', '224.0.0.1', '224.0.0.22', '169.254.1.1'];
const special6 = ['::', '::1', 'ff02::1', 'ff02::2', 'ff02::16', 'ff02::1:2', 'ff02::1:ff00:1', 'fe80::1'];
const groups = [
  ...['ffffffffffff', '01005e000001', '333300000001', '3333ff000001', '333300000016'],
  ...['0180c2000000', '0180c2000003', '0180c200000e', '0180c2000010', '0180c2000021'],
  ...['0180c200001f', '0180c2000020', '0180c200002f', '0180c2000037', '0180c200004f', '0180c2000050'],
  ...['01000ccccccc', '01000ccccccd', '01000ccdcdcd', '01000cdddddd', '01000bffffff', '01000d000000'],
  ...['00e02b000004', '00e02b000010', '01e052cccccc', '01e052cccccd', '0119a7000001', '0119a7000100'],
  ...['01154e000001', '01154e000010', '000000000000'],
];

/**
 * Values of a frame's fields. The more honest it is, the more of them are the guest's own; a frame that is wrong in one
 * thing alone tells most about a filter.
 */
export class Values {
  readonly random: Random;
  readonly honesty: number;
  readonly #around: Surroundings;

  constructor(random: Random, honesty: number, around: Surroundings) {
    this.random = random;
    this.honesty = honesty;
    this.#around = around;
  }

  /** The first value, or one of the others when this field is not honest. */
  honest<T>(value: T, others: () => T): T {
    return this.random.chance(this.honesty) ? value : others();
  }

  /** A number from 0 to 1 that stands for a frame of a family which the guest has an address of. */
  spoken(): number {
    const { guest } = this.#around;
    if (!speaks(guest, 6)) return this.random.next() * 0.5;
    return speaks(guest, 4) ? this.random.next() : 0.5 + this.random.next() * 0.45;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.random.below(256)));
  }

  sourceMac(): Buffer {
    return this.honest(this.ownMac(), () => this.#anyMac());
  }

  ownMac(): Buffer {
    return Buffer.from(this.random.pick(this.#around.guest.macs), 'hex');
  }

  targetMac(): Buffer {
    const { random } = this;
    return random.chance(0.6) ? macBytes(random.pick(this.#around.otherMacs)) : this.#anyMac();
  }

  #anyMac(): Buffer {
    const { random } = this;
    return random.pick([
      () => flipped(random, this.ownMac()),
      () => macBytes(random.pick(this.#around.otherMacs)),
      () => Buffer.from(random.pick(groups), 'hex'),
      () => this.bytes(6),
    ])();
  }

  /** An address of the guest's: one of its hosts, or the first, the last or any of a network. */
  own(family: 4 | 6): Buffer {
    const own = this.#around.guest.networks.filter((network) => network.family === family);
    return own.length === 0 ? this.#foreign(family) : within(this.random, this.random.pick(own));
  }

  source(family: 4 | 6): Buffer {
    return this.honest(this.own(family), () => this.any(family));
  }

  any(family: 4 | 6): Buffer {
    const { random } = this;
    return random.pick([
      () => flipped(random, this.own(family)),
      () => this.own(family),
      () => this.#foreign(family),
      () => this.#foreign(family),
      () => addressBytes(family, random.pick(family === 4 ? special4 : special6)),
      () => this.bytes(family === 4 ? 4 : 16),
    ])();
  }

  #foreign(family: 4 | 6): Buffer {
    const { other4, other6 } = this.#around;
    return addressBytes(family, this.random.pick(family === 4 ? other4 : other6));
  }

  /** A length or another number of 16 bits, mostly right. */
  number(right: number): number {
    const { random } = this;
    const value = this.honest(right, () =>
      random.pick([
        () => right + random.pick([-8, -4, -1, 1, 4, 8]),
        () => random.pick([0, 1, 8, 20, 24, 28, 40, 0xffff]),
        () => random.below(65536),
      ])(),
    );
    return value & 0xffff;
  }

  /** One of a list, most often of its beginning. */
  early<T>(list: readonly T[]): T {
    const { random } = this;
    return list[Math.min(random.below(list.length), random.below(list.length))] as T;
  }
}

/** With one bit changed. */
export function flipped(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length);
  copy.writeUInt8(copy.readUInt8(at) ^ (1 << random.below(8)), at);
  return copy;
}

export const addressBytes = (family: 4 | 6, text: string): Buffer =>
  family === 4 ? Buffer.from(text.split('.').map(Number)) : ip6(text);

function within(random: Random, { family, address, prefix }: Network): Buffer {
  const bits = family === 4 ? 32 : 128;
  const size = 1n << BigInt(bits - prefix);
  const first = (addressValue({ family, address }) / size) * size;
  const offset = random.pick([0n, size - 1n, BigInt(random.below(2 ** 32)) % size]);
  return Buffer.from((first + offset).toString(16).padStart(bits / 4, '0'), 'hex');
}
