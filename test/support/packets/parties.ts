/** The sender's and the receiver's addresses. The sender's `ip` key is {@link ipKey}. */
export interface Parties {
  readonly from: string;
  readonly to: string;
  /** The destination of packets; by default the other guest of a bridge. */
  readonly other?: string;
  readonly other6?: string;
}

export const ipKey = '10.0.0.1 10.0.1.0/24 2001:db8::1 2001:db8:1::/64';
/** The sender's `ip` key for a topology that takes no networks. */
export const hostsKey = '10.0.0.1 10.0.1.200 2001:db8::1 2001:db8:1::abcd';
export const own = '10.0.0.1';
export const inNetwork = '10.0.1.200';
export const own6 = '2001:db8::1';
export const inNetwork6 = '2001:db8:1::abcd';
export const otherGuest = '10.0.0.2';
export const otherGuest6 = '2001:db8::2';
export const forged = '10.0.0.66';
export const forged6 = '2001:db8::66';
export const forgedMac = '00:16:3e:66:66:66';
