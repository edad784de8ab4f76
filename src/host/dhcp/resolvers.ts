import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { parseIpv4, parseIpv6 } from '../../model/address.js';
import { FollowedFile } from './followed-file.js';

/** The second has the servers behind systemd-resolved, whose stub on the loopback is in the first. */
const usualFiles = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** The resolvers of this domain, but for those on the loopback, followed as they change. */
export class Resolvers {
  readonly #files: readonly string[];
  #text: string[];
  #addresses: readonly string[];
  #listener: (() => void) | undefined;
  #followed: FollowedFile[] = [];

  constructor(files: readonly string[] = usualFiles) {
    this.#files = files;
    this.#text = this.#read();
    this.#addresses = parseResolvers(this.#text);
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Calls back when they have changed. */
  follow(listener: () => void): void {
    this.#listener = listener;
    this.#followed = this.#files.map((file) => new FollowedFile(file, this.#look));
    this.#look();
  }

  /** Looks for what has been mounted over a file, which the kernel does not announce. */
  refresh(): void {
    for (const file of this.#followed) file.recheck();
    this.#look();
  }

  close(): void {
    for (const file of this.#followed) file.close();
  }

  readonly #look = (): void => {
    const text = this.#read();
    if (isDeepStrictEqual(text, this.#text)) return;
    this.#text = text;
    this.#addresses = parseResolvers(text);
    this.#listener?.();
  };

  /** The texts of the files; not every machine has both. */
  #read(): string[] {
    return this.#files.flatMap((file) => {
      try {
        return [readFileSync(file, 'utf8')];
      } catch {
        return [];
      }
    });
  }
}

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
