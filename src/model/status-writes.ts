/** What to write into the backend directory, in one transaction; undefined removes the key. */
export interface StatusWrites {
  readonly backend: Readonly<Partial<Record<'hotplug-status' | 'hotplug-error', string | undefined>>>;
  /** For the frontend's `mtu`, which libxl lets us write so that the guest learns it. */
  readonly frontendMtu: number | undefined;
}
