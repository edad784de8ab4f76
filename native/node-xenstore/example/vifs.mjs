// Lists the vifs that this domain is the backend of, and follows one until it is gone:
//   node vifs.mjs            5/0  connected  state 4  bridge xenbr0  mac 00:16:3e:00:00:05
//   node vifs.mjs 5/0        the same, and then each key of that vif as it changes
import { Xenstore, XenstoreError } from 'node-xenstore';

const root = 'backend/vif';

/** The names below a path; none where it does not exist, or has gone since it was listed. */
const below = async (store, path) => [...((await store.readChildren(path))?.keys() ?? [])];

async function list(store) {
  for (const domid of await below(store, root)) {
    for (const devid of await below(store, `${root}/${domid}`)) {
      const keys = await store.readChildren(`${root}/${domid}/${devid}`);
      if (keys === undefined) continue;
      const status = keys.get('hotplug-status') || 'waiting';
      const named = ['state', 'bridge', 'mac'].filter((key) => keys.has(key));
      console.log([`${domid}/${devid}`, status, ...named.map((key) => `${key} ${keys.get(key)}`)].join('  '));
    }
  }
}

/** Prints what changes below a vif; a watch says where to look, and what is there then is the truth. */
async function follow(store, vif) {
  const path = `${root}/${vif}`;
  const watch = await store.watch(path);
  let before = new Map();
  for await (const _ of watch) {
    const keys = await store.readChildren(path);
    if (keys === undefined) {
      console.log(`${vif} is gone`);
      return;
    }
    for (const [key, value] of keys) if (before.get(key) !== value) console.log(`${key} = ${value}`);
    for (const key of before.keys()) if (!keys.has(key)) console.log(`${key} removed`);
    before = keys;
  }
}

async function main(vif) {
  const store = await Xenstore.open();
  try {
    await list(store);
    if (vif !== undefined) await follow(store, vif);
  } finally {
    await store.close();
  }
}

await main(process.argv[2]).catch((error) => {
  if (!(error instanceof XenstoreError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
});
