/**
 * What netlink messages are made of: the two modules of the npm library that know formats and nothing else. Its index
 * loads a socket and all of nl80211 besides, which took a third of the daemon's start.
 */
export * from 'netlink/dist/constants.js';
export * from 'netlink/dist/structs.js';

/** NLM_F_CREATE and NLM_F_REPLACE. */
export const create = 0x400;
export const replace = 0x100;
