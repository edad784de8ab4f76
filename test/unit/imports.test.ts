import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const script = fileURLToPath(new URL('../imports.mjs', import.meta.url));

/** What the check says of a tree of these files; nothing when it passes. */
function check(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'imports-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const { status, stderr } = spawnSync(process.execPath, [script, root], { encoding: 'utf8' });
  expect(status).toBe(stderr === '' ? 0 : 1);
  return stderr.trim();
}

const project = (references: readonly string[] = [], options: object = {}): string =>
  `{\n  // What it is for.\n${JSON.stringify({ compilerOptions: options, references: references.map((path) => ({ path })) }).slice(1)}`;
/** `model` is pure, `plan` may import it, `host` both and a package. */
const tree = {
  'src/model/tsconfig.json': project([], { types: [] }),
  'src/model/noun.ts': 'export interface Noun {}\n',
  'src/plan/tsconfig.json': project(['../model'], { types: [] }),
  'src/plan/plan.ts': "import type { Noun } from '../model/noun.js';\nexport type Plan = Noun;\n",
  'src/host/tsconfig.json': project(['../plan', '../../native/node-netlink']),
  'src/host/host.ts':
    "import 'node:fs';\nimport 'node-netlink';\nimport type { Plan } from '../plan/plan.js';\nexport type Host = Plan;\n",
  'native/node-netlink/package.json': '{}',
  'native/node-xenstore/package.json': '{}',
};

test('what the references allow passes', () => expect(check(tree)).toBe(''));

test.each<[string, Record<string, string>, string]>([
  [
    'a type of a folder to the right',
    { 'src/model/verb.ts': "import type { Plan } from '../plan/plan.js';\nexport type Verb = Plan;\n" },
    'src/model/verb.ts imports src/plan/plan.ts: src/model/tsconfig.json has no reference to src/plan',
  ],
  [
    'a folder that a referenced one references',
    { 'src/host/links.ts': "import { type Noun } from '../model/noun.js';\nexport type Link = Noun;\n" },
    'src/host/links.ts imports src/model/noun.ts: src/host/tsconfig.json has no reference to src/model',
  ],
  [
    'a package that is not referenced',
    { 'src/host/store.ts': "const store = await import('node-xenstore');\n" },
    'src/host/store.ts imports node-xenstore: src/host/tsconfig.json has no reference to native/node-xenstore',
  ],
  [
    'a package in pure code',
    { 'src/plan/log.ts': "import type { Logger } from 'pino';\nexport type Log = Logger;\n" },
    'src/plan/log.ts imports pino: src/plan/tsconfig.json is for code that imports no package',
  ],
  [
    'a circle of types within a folder',
    {
      'src/plan/one.ts': "import type { Two } from './two.js';\nexport type One = Two;\n",
      'src/plan/two.ts': "export type { One as Two } from './one.js';\n",
    },
    'a circle of imports: src/plan/one.ts → src/plan/two.ts → src/plan/one.ts',
  ],
])('%s is refused', (_what, files, message) => expect(check({ ...tree, ...files })).toBe(message));
