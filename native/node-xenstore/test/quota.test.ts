import { constants } from 'node:os';
import { Xenstore } from 'node-xenstore';
import { expect, test } from 'vitest';
import { Xenstored } from '../../../test/support/store/xenstored.js';
import { failed } from '../src/error.js';

const { EINVAL, ENOENT, ENOSPC, EACCES, E2BIG } = constants.errno;

test.each([
  ['xenstored refuses a node', 'write', ENOSPC, 'ENOSPC', true],
  ['oxenstored refuses a node: EQUOTA, which libxenstore reads as EINVAL', 'write', EINVAL, 'EINVAL', true],
  ['oxenstored refuses a long value', 'write', E2BIG, 'E2BIG', true],
  ['a watch too many', 'watch', EINVAL, 'EINVAL', true],
  ['a transaction too many', 'transaction', ENOSPC, 'ENOSPC', true],
  ['found out when the transaction ends', 'commit', EINVAL, 'EINVAL', true],
  ['reading takes no space', 'read', EINVAL, 'EINVAL', false],
  ['nor does removing', 'rm', EINVAL, 'EINVAL', false],
  ['a right is missing', 'write', EACCES, 'EACCES', false],
  ['nothing there', 'write', ENOENT, 'ENOENT', false],
])('%s', (_, operation, errno, code, quota) => {
  expect(failed(operation, 'a', errno)).toMatchObject({ code, quota });
});

test('the message names the quota', () => {
  expect(failed('write', 'a/b', EINVAL).message).toBe(
    'write a/b: a quota of xenstored is exhausted (EINVAL)',
  );
});

// Of its limits, xenstored puts only that on the length of a path upon dom0 as well.
test('a valid path which xenstored refuses', async () => {
  const server = await Xenstored.start({ args: ['-M', '64'] });
  const store = await Xenstore.open({ path: server.socketPath });
  const path = 'p'.repeat(65);
  await expect(store.write(path, '')).rejects.toMatchObject({ code: 'EINVAL', quota: true });
  await expect(store.read(path)).rejects.toMatchObject({ code: 'EINVAL', quota: false });
  await store.close();
  await server.stop();
});
