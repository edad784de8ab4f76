// Checks the imports in src: a folder may import what its tsconfig.json references, and nothing else, types included. The
// compiler refuses files of a project that is not referenced, but accepts those of projects that a referenced one
// references. This check refuses those too, and files that import each other in a circle. `npm run build` runs it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const files = readdirSync('src', { recursive: true })
  .map((name) => join('src', name))
  .filter((name) => name.endsWith('.ts'));

/** The project a file belongs to: the nearest folder above it with a tsconfig.json. */
function projectOf(file) {
  let folder = dirname(file);
  while (!existsSync(join(folder, 'tsconfig.json'))) folder = dirname(folder);
  return folder;
}

/** The folders whose files a project may import, itself among them. */
function allowed(project) {
  const text = readFileSync(join(project, 'tsconfig.json'), 'utf8');
  const { references = [] } = JSON.parse(text.replaceAll(/^\s*\/\/.*$/gm, ''));
  return new Set([project, ...references.map(({ path }) => normalize(join(project, path)))]);
}

/** The files of src that a file imports, for their types or at run time. */
function importsOf(file) {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:\bfrom|\bimport\(|^import) ?'(\.[^']*)\.js'/gm)].map(([, path]) =>
    join(dirname(file), `${path}.ts`),
  );
}

const imports = new Map(files.map((file) => [file, importsOf(file)]));
const faults = [];

for (const [file, targets] of imports) {
  const project = projectOf(file);
  for (const target of targets.filter((one) => imports.has(one))) {
    if (allowed(project).has(projectOf(target))) continue;
    faults.push(
      `${file} imports ${target}: ${project}/tsconfig.json has no reference to ${projectOf(target)}`,
    );
  }
}

const done = new Set();
/** Follows the imports of a file; `path` is how it was reached. */
function follow(file, path) {
  if (path.includes(file)) {
    faults.push(`a circle of imports: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`);
    return;
  }
  if (done.has(file)) return;
  for (const target of imports.get(file) ?? []) follow(target, [...path, file]);
  done.add(file);
}
for (const file of files) follow(file, []);

for (const fault of faults) console.error(fault);
process.exit(faults.length === 0 ? 0 : 1);
