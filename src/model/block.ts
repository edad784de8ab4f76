import { type VifId, vifName } from './vif-id.js';

/** An administrator's block of a guest's network card: no frame passes, in either direction. */
export interface Block {
  /** The vif that was named. */
  readonly vif: string;
  /** ISO 8601. */
  readonly since: string;
  /** The user that asked, such as `uid 0 (login uid 1000)`. */
  readonly by: string;
}

/**
 * What a card is remembered by: its MAC and its number among the guest's, which stay when the guest restarts and has another domid; without
 * a MAC the vif's name.
 */
export const blockKey = ({ id, mac }: { readonly id: VifId; readonly mac: string | undefined }): string =>
  mac === undefined ? vifName(id) : `${mac}_${id.devid}`;
