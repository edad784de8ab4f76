// Preloaded into vifd: at SIGUSR2 it collects garbage and writes its memory, in bytes, to the file VIFD_PROBE.
import { renameSync, writeFileSync } from 'node:fs';
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';

const file = process.env.VIFD_PROBE;
delete process.env.VIFD_PROBE;
setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc');
let collected = 0;
if (file !== undefined && process.argv.includes('run'))
  process.on('SIGUSR2', () => {
    gc();
    gc();
    if (process.env.VIFD_SNAPSHOTS !== undefined)
      writeHeapSnapshot(`${process.env.VIFD_SNAPSHOTS}/${++collected}.heapsnapshot`);
    writeFileSync(
      `${file}.new`,
      JSON.stringify({ ...process.memoryUsage(), resources: process.getActiveResourcesInfo().length }),
    );
    renameSync(`${file}.new`, file);
  });
