/**
 * The two modules of the npm library that encode and decode netlink messages. Its index also loads a socket and all of
 * nl80211, which took a third of the daemon's start.
 */
export * from 'netlink/dist/constants.js';
export * from 'netlink/dist/structs.js';

/** NLM_F_CREATE and NLM_F_REPLACE. */
export const create = 0x400;
export const replace = 0x100;
