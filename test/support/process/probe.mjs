// Counts and times what a vifd does, from inside its process: loaded by `node --import`, it wraps the methods by which vifd
// reaches xenstore, the kernel and nf_tables, and tells what it has seen to each client of the socket VIFD_PROBE, as JSON.
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';

const { VIFD_PROBE: path, VIFD_PROBE_DIST: dist } = process.env;
// What vifd starts is not measured.
delete process.env.NODE_OPTIONS;

let seen = {};
const now = () => performance.timeOrigin + performance.now();

/** Replaces a method by one that notes when it was called and when its promise settled. @param kindOf of its arguments */
function wrap({ prototype }, name, kindOf) {
  const original = prototype[name];
  prototype[name] = function (...values) {
    const span = { kind: kindOf(...values), from: now(), to: Number.POSITIVE_INFINITY };
    seen.spans.push(span);
    const end = () => {
      span.to = now();
    };
    const result = original.apply(this, values);
    Promise.resolve(result).then(end, end);
    return result;
  };
}

/** When the event loop came to its timer, which is due each millisecond, later than by this, in ms. */
const late = 2;
let last = now();
setInterval(() => {
  const at = now();
  if (at - last > late + 1) seen.stalls.push({ from: last, ms: at - last - 1 });
  last = at;
}, 1).unref();

const reset = () => {
  seen = { spans: [], stalls: [] };
};
reset();
const module = (name) => import(`${dist}/${name}`);
wrap((await module('reconcile/vif-reconciler.js')).VifReconciler, 'reconcile', () => 'look');
/** IPCTNL_MSG_CT_GET of NFNL_SUBSYS_CTNETLINK. */
const listing = 0x101;
wrap((await module('host/netlink/connection.js')).NetlinkConnection, 'request', (type) =>
  type === listing ? 'conntrack' : 'netlink',
);
wrap((await module('../node_modules/node-libnftables/dist/index.js')).Nftables, 'runAside', () => 'nft');
wrap((await module('../node_modules/node-xenstore/dist/connection.js')).Connection, 'send', () => 'xenstore');

rmSync(path, { force: true });
createServer((socket) => {
  socket.on('error', () => undefined).end(JSON.stringify({ ...seen, memory: process.memoryUsage() }));
  reset();
})
  .listen(path)
  .unref();
