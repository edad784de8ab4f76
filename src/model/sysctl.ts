/** A kernel setting; `name` is the path below /proc/sys, because a device's name may have dots. */
export interface Sysctl {
  readonly name: string;
  readonly value: string;
}
