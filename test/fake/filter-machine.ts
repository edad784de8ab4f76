import { type FilterView, type InstalledFilter, parseChainName } from '../../src/vif/nft.js';

/** nftables as far as planning sees it: does what the commands of a filter say. */
export class FilterMachine implements FilterView {
  readonly #chains = new Map<string, { device: string; marks: string[] }>();
  /** `<set> <index>` → the vif it belongs to. */
  readonly #elements = new Map<string, string>();
  #router: string[] = [];

  perform(commands: readonly string[]): void {
    for (const command of commands) this.#run(command);
  }

  chains(vif: string): InstalledFilter[] {
    return [...this.#chains]
      .filter(([chain]) => parseChainName(chain)?.vif === vif)
      .map(([chain, { device, marks }]) => ({ chain, device, marks }));
  }

  elements(vif: string): string[] {
    return [...this.#elements].filter(([, owner]) => owner === vif).map(([element]) => element);
  }

  get router(): readonly string[] {
    return this.#router;
  }

  #run(command: string): void {
    const [verb, object, family, , name = '', brace, ...rest] = command.split(/[ \n]/);
    const comment = /comment "([^"]*)"/.exec(command)?.[1] ?? '';
    if (object === 'element') {
      if (verb === 'add') this.#elements.set(`${name} ${rest[0]}`, comment);
      else this.#elements.delete(`${name} ${rest[0]}`);
    } else if (family === 'inet') {
      if (verb === 'flush') this.#router = this.#router.filter((rule) => !rule.startsWith(`${name} `));
      if (object === 'rule') this.#router.push(`${name} ${comment}`);
    } else if (object === 'chain' && verb === 'add') {
      const device = /device "([^"]*)"/.exec(command)?.[1] ?? '';
      if (!this.#chains.has(name) && brace !== undefined) this.#chains.set(name, { device, marks: [] });
      for (const [, mark = ''] of command.matchAll(/ comment "([^"]*)"\n/g))
        this.#chains.get(name)?.marks.push(mark);
    } else if (object === 'chain' && verb === 'delete') {
      this.#chains.delete(name);
    } else if (object === 'chain') {
      this.#chains.get(name)?.marks.splice(0);
    }
  }
}
