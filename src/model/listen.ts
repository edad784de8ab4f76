/** Where to serve something: a Unix socket, or an address and a port. */
export type Listen = { readonly path: string } | { readonly host: string; readonly port: number };
