/** One vif of `vifd status --json`, as far as it is compared. */
export interface ToldStatus {
  readonly vif: string;
  readonly state: string;
  readonly netdev: string | null;
  readonly ifindex: number | null;
  readonly mtu: number | null;
  readonly error: string | null;
  readonly missing?: readonly string[];
}

/** What xenstore says of a vif; undefined without a directory. */
export interface StoreStatus {
  readonly status: string | undefined;
  readonly error: string | undefined;
}
