import { Grouped } from '../grouped.js';
import type { KnownRoute } from './route-message.js';

/** Routes by what they are asked for: ours by their device and by their source, so that none has to look at those of all vifs. */
export class RouteIndex {
  readonly #others = new Set<KnownRoute>();
  readonly #byDevice = new Grouped<number, KnownRoute>();
  readonly #bySource = new Grouped<string | undefined, KnownRoute>();
  readonly #byNextHop = new Grouped<string, KnownRoute>();

  /** Those of other programs. */
  get others(): ReadonlySet<KnownRoute> {
    return this.#others;
  }

  ours(): KnownRoute[] {
    return this.#byDevice.all();
  }

  /** Ours to a device. */
  onDevice(index: number): KnownRoute[] {
    return this.#byDevice.of(index);
  }

  /** Ours of which an address is the source. */
  from(source: string): KnownRoute[] {
    return this.#bySource.of(source);
  }

  /** Those of other programs that have the gateway of this one, at the same device. */
  byGatewayOf(route: KnownRoute): KnownRoute[] {
    return this.#byNextHop.of(nextHopOf(route));
  }

  add(route: KnownRoute): void {
    if (!route.ours) {
      this.#others.add(route);
      this.#byNextHop.add(nextHopOf(route), route);
      return;
    }
    this.#byDevice.add(route.device, route);
    this.#bySource.add(route.source, route);
  }

  delete(route: KnownRoute): void {
    this.#others.delete(route);
    this.#byNextHop.delete(nextHopOf(route), route);
    this.#byDevice.delete(route.device, route);
    this.#bySource.delete(route.source, route);
  }
}

const nextHopOf = ({ gateway, device }: KnownRoute): string => `${gateway?.address} ${device}`;
