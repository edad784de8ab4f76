export { XenstoreError } from './error.js';
export type { Permission } from './operations.js';
export { Transaction } from './transaction.js';
export { Watch, type WatchEvent } from './watch.js';
export { type Attempts, type Operation, Xenstore } from './xenstore.js';
