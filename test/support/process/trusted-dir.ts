import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A directory whose files vifd accepts to run: below /run, since any user can write to /tmp. */
export class TrustedDir {
  readonly path = mkdtempSync('/run/vifd-test-');

  constructor() {
    chmodSync(this.path, 0o755);
  }

  /** Makes an executable of a shell script's lines. @returns its path */
  script(name: string, ...lines: string[]): string {
    const file = join(this.path, name);
    writeFileSync(file, ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(file, 0o755);
    return file;
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}
