import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { parseIpv4, parseIpv6 } from '../../model/address.js';

/** The second has the servers behind systemd-resolved, whose stub on the loopback is in the first. */
const files = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];
/** In ms; files are compared by time, since a bind mount or a link is replaced without an event at its path. */
const interval = 500;

/** The resolvers of this domain, but for those on the loopback, followed as they change. */
export class Resolvers {
  #text = read();
  #addresses = parseResolvers(this.#text);
  #listener: (() => void) | undefined;

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Calls back when they have changed. */
  follow(listener: () => void): void {
    this.#listener = listener;
    for (const file of files) watchFile(file, { interval, persistent: false }, this.#look);
  }

  close(): void {
    for (const file of files) if (this.#listener) unwatchFile(file, this.#look);
  }

  readonly #look = (): void => {
    const text = read();
    if (isDeepStrictEqual(text, this.#text)) return;
    this.#text = text;
    this.#addresses = parseResolvers(text);
    this.#listener?.();
  };
}

/** The texts of the files; not every machine has both. */
const read = (): string[] =>
  files.flatMap((file) => {
    try {
      return [readFileSync(file, 'utf8')];
    } catch {
      return [];
    }
  });

/**
 * The resolvers in the first of these texts that has any. Of a line the resolver reads the first word behind `nameserver`, so that
 * what follows it, such as a remark, is none of it (res_vinit_1 in glibc's res_init.c); an IPv6 address may have a scope.
 */
export function parseResolvers(texts: readonly string[]): readonly string[] {
  const found = texts.map((text) =>
    [...text.matchAll(/^[ \t]*nameserver[ \t]+([0-9a-fA-F.:]+)(?=[\s%;#]|$)/gm)]
      .map(([, address = '']) => address)
      .filter((address) => (parseIpv4(address) ?? parseIpv6(address)) !== undefined)
      .filter((address) => !/^(127\.|::1$|fe80:)/.test(address)),
  );
  return found.find(({ length }) => length > 0) ?? [];
}
