import { type Link, linkView, type ObservedState } from '../../src/vif/observed.js';
import type { Action } from '../../src/vif/plan.js';
import type { Case } from './case.js';
import { OvsMachine } from './openvswitch-machine.js';

/** A machine that does what a plan says, as far as planning can see it: the kernel's side of the pure tests. */
export class Machine {
  links: Link[];
  readonly openvswitch: OvsMachine | undefined;

  constructor({ links, openvswitch }: Pick<Case, 'links' | 'openvswitch'>) {
    this.links = [...links];
    this.openvswitch = openvswitch && new OvsMachine(openvswitch);
  }

  observe(): ObservedState {
    const links = linkView(this.links);
    return this.openvswitch === undefined ? { links } : { links, openvswitch: this.openvswitch };
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
      case 'ovs-add-port':
      case 'ovs-set-port':
      case 'ovs-delete-port':
        this.openvswitch?.perform(action);
        return;
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
