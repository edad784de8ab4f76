import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Domnet, Vifd } from '../support/net/domnet.js';
import { until } from '../support/process/exec.js';

/** What a daemon has and what there is on its host, after its garbage was collected. */
export type Census = Readonly<Record<string, number>>;

/** Of these some more or less is no leak: pages that the allocators keep, and code that V8 has compiled meanwhile. */
export const memory: ReadonlySet<string> = new Set([
  'RSS in MB',
  'heap in MB',
  'external in kB',
  'RSS of xenstored in MB',
]);

/** Counts. @param probe the file to which the daemon writes its memory */
export async function takeCensus(domnet: Domnet, daemon: Vifd, probe: string): Promise<Census> {
  const before = modified(probe);
  process.kill(daemon.pid, 'SIGUSR2');
  await until('the daemon to collect its garbage', () => modified(probe) !== before);
  const { heapUsed, external, resources } = JSON.parse(readFileSync(probe, 'utf8')) as Record<string, number>;
  const ruleset = (await domnet.exec('nft', ['list', 'ruleset'])).split(/[\n,]/).length;
  return {
    'RSS in MB': Math.round(rss(daemon.pid) / 102.4) / 10,
    'heap in MB': Math.round((heapUsed ?? 0) / 104_857.6) / 10,
    'external in kB': Math.round((external ?? 0) / 1024),
    resources: resources ?? 0,
    threads: readdirSync(`/proc/${daemon.pid}/task`).length,
    descriptors: readdirSync(`/proc/${daemon.pid}/fd`).length,
    'children of its own': children(daemon.pid),
    'lines of nft': ruleset,
    'network devices': (await domnet.ip('-o link show')).trim().split('\n').length,
    routes: (await domnet.ip('route show table all')).split('\n').length,
    'proxy entries': (await domnet.ip('neigh show proxy')).split('\n').length - 1,
    files: filesIn(domnet.dir),
    'xenstore nodes': await nodes(domnet, '/'),
    // Watches and transactions are its memory.
    'RSS of xenstored in MB': Math.round(rss(domnet.xenstored.pid) / 102.4) / 10,
  };
}

/** In kB. */
const rss = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

const modified = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** The processes whose parent it is. */
const children = (pid: number): number =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).length;

/** The files below a directory, links not followed. */
function filesIn(directory: string): number {
  return readdirSync(directory, { withFileTypes: true })
    .map((entry) => (entry.isDirectory() ? 1 + filesIn(join(directory, entry.name)) : 1))
    .reduce((sum, count) => sum + count, 0);
}

async function nodes({ xenstore }: Domnet, path: string): Promise<number> {
  const names = await xenstore.directory(path).catch(() => []);
  const counts = await Promise.all(
    names.map((name) => nodes({ xenstore } as Domnet, `${path === '/' ? '' : path}/${name}`)),
  );
  return counts.reduce((sum, count) => sum + count, names.length);
}
