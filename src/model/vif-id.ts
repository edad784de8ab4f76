/** A virtual interface: the guest's domain id and the device number within it (libxl's "devid", netback's "handle"). */
export interface VifId {
  readonly domid: number;
  readonly devid: number;
}

/** The directory all backends of this domain live under, relative to the domain's own xenstore home. */
export const backendRoot = 'backend/vif';

/** The name netback gives the interface, and ours for the vif everywhere: `vif5.0`. */
export const vifName = ({ domid, devid }: VifId): string => `vif${domid}.${devid}`;

export const backendPath = ({ domid, devid }: VifId): string => `${backendRoot}/${domid}/${devid}`;

/** The guest's side. Everything below but `mtu` is written by the guest: hostile. */
export const frontendPath = ({ domid, devid }: VifId): string => `/local/domain/${domid}/device/vif/${devid}`;

/** Where dom0 lets this domain write what a guest may read and not write. */
export const guestKeysRoot = ({ domid }: VifId): string => `/local/domain/${domid}/vifd`;

/** What a guest may read of one vif. */
export const guestKeysPath = (id: VifId): string => `${guestKeysRoot(id)}/${id.devid}`;

/** `vif5.0` → its id; undefined for any other name. */
export function parseVifName(name: string): VifId | undefined {
  const match = /^vif(\d{1,5})\.(\d{1,5})$/.exec(name);
  return match ? makeVifId(match[1], match[2]) : undefined;
}

/** The name sysfs gives a backend device, `vif-5-0`, which a netdev keeps as its parent when it is renamed. */
export function parseBackendDevice(name: string): VifId | undefined {
  const match = /^vif-(\d{1,5})-(\d{1,5})$/.exec(name);
  return match ? makeVifId(match[1], match[2]) : undefined;
}

/** What a path under `backend` speaks of: a vif and perhaps one of its keys, or something above the vifs. */
export type BackendPath =
  | { readonly kind: 'vif'; readonly id: VifId; readonly key: string }
  | { readonly kind: 'above'; readonly domid: number | undefined }
  | { readonly kind: 'other' };

/**
 * Reads a watch event's path. `above` is `backend`, `backend/vif` or `backend/vif/F`: dom0 made or removed them, and
 * xenstored tells of a removed tree by its topmost node only.
 */
export function parseBackendPath(path: string): BackendPath {
  if (path === 'backend' || path === backendRoot) return { kind: 'above', domid: undefined };
  if (!path.startsWith(`${backendRoot}/`)) return { kind: 'other' };
  const [domid, devid, ...key] = path.slice(backendRoot.length + 1).split('/');
  if (devid === undefined) {
    const number = parseId(domid);
    return number === undefined ? { kind: 'other' } : { kind: 'above', domid: number };
  }
  const id = makeVifId(domid, devid);
  return id ? { kind: 'vif', id, key: key.join('/') } : { kind: 'other' };
}

/** The id made of two path components, or undefined when either is not one xenstore would hold. */
export function makeVifId(domid: string | undefined, devid: string | undefined): VifId | undefined {
  const parsed = { domid: parseId(domid), devid: parseId(devid) };
  return parsed.domid === undefined || parsed.devid === undefined ? undefined : (parsed as VifId);
}

/** Decimal without leading zeros, at most 65535 (domid_t and netback's handle are 16 bits); else undefined. */
function parseId(text: string | undefined): number | undefined {
  return text !== undefined && /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) < 65536
    ? Number(text)
    : undefined;
}
