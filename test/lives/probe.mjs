// Preloaded into vifd: at SIGUSR2 it collects garbage and writes its memory, in bytes, to the file VIFD_PROBE; a heap snapshot to the
// directory VIFD_SNAPSHOTS, and a profile of what was allocated since the last signal to VIFD_GARBAGE, where these are set.
import { renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';

const file = process.env.VIFD_PROBE;
delete process.env.VIFD_PROBE;
setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc');
let collected = 0;
const serves = file !== undefined && process.argv.includes('run');
const garbage = serves ? process.env.VIFD_GARBAGE : undefined;
const session = new Session();
const sample = () => {
  session.post('HeapProfiler.startSampling', {
    samplingInterval: 16384,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
};
if (garbage !== undefined) {
  session.connect();
  sample();
}
if (serves)
  process.on('SIGUSR2', () => {
    collected++;
    // The answer comes before the call returns.
    if (garbage !== undefined)
      session.post('HeapProfiler.stopSampling', (_, { profile }) =>
        writeFileSync(`${garbage}/${collected}.heapprofile`, JSON.stringify(profile)),
      );
    gc();
    gc();
    if (process.env.VIFD_SNAPSHOTS !== undefined)
      writeHeapSnapshot(`${process.env.VIFD_SNAPSHOTS}/${collected}.heapsnapshot`);
    writeFileSync(
      `${file}.new`,
      JSON.stringify({ ...process.memoryUsage(), resources: process.getActiveResourcesInfo().length }),
    );
    if (garbage !== undefined) sample();
    renameSync(`${file}.new`, file);
  });
