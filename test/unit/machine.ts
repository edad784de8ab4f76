import { type Link, linkView, type ObservedState } from '../../src/vif/observed.js';
import type { Action } from '../../src/vif/plan.js';

/** A machine that does what a plan says, as far as planning can see it: the kernel's side of the pure tests. */
export class Machine {
  links: Link[];

  constructor(links: readonly Link[]) {
    this.links = [...links];
  }

  observe(): ObservedState {
    return { links: linkView(this.links) };
  }

  /** @throws when the kernel would refuse it */
  perform(action: Action): void {
    switch (action.kind) {
      case 'set-link': {
        const { master, name, ...changes } = action.changes;
        if (name !== undefined && this.links.some((link) => link.name === name)) {
          throw new Error(`the name ${name} is taken`);
        }
        this.#change(action.index, (link) => {
          // A running interface refuses both, and the order within one message is: address, name, flags.
          if (link.up && (name !== undefined || changes.mac !== undefined)) throw new Error('it is up');
          return {
            ...link,
            ...changes,
            ...(name === undefined ? {} : { name }),
            ...(master === undefined ? {} : { master: master.index || undefined }),
          };
        });
        return;
      }
      case 'delete-address':
        this.#change(action.index, (link) => ({
          ...link,
          addresses: link.addresses.filter(({ address }) => address !== action.address.address),
        }));
        return;
    }
  }

  #change(index: number, change: (link: Link) => Link): void {
    const at = this.links.findIndex((link) => link.index === index);
    const link = this.links[at];
    if (link === undefined) throw new Error(`there is no interface ${index}`);
    this.links[at] = change(link);
  }
}
