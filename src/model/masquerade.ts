/** What masquerades an address: the vif that it belongs to, by name, and the devices through which it leaves. */
export interface Masquerade {
  readonly owner: string;
  readonly uplinks: readonly string[];
}
