/** The nodes in which a guest without DHCP finds its network, below a directory in its own that dom0 has made for that. */
export const guestKeyNames = ['ip', 'ip6', 'gateway', 'gateway6', 'resolver', 'mtu'] as const;

/** Their values: lists split by blanks, addresses of the guest with their prefix lengths. What has no value is absent. */
export type GuestKeys = Readonly<Partial<Record<(typeof guestKeyNames)[number], string>>>;
