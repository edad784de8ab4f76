// Checks the imports in src: a folder may import what its tsconfig.json references, and nothing else, types included. The
// compiler refuses files of a project that is not referenced, but accepts those of projects that a referenced one
// references, and any package that is installed. This check refuses those too, packages where there are no types of Node, and files
// that import each other in a circle. `npm run build` runs it; an argument names another tree than this one.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url)));

const files = readdirSync('src', { recursive: true })
  .map((name) => join('src', name))
  .filter((name) => name.endsWith('.ts'));

/** The project a file belongs to: the nearest folder above it with a tsconfig.json. */
function projectOf(file) {
  let folder = dirname(file);
  while (!existsSync(join(folder, 'tsconfig.json'))) folder = dirname(folder);
  return folder;
}

/** The folders whose files a project may import, itself among them, and whether it may import packages. */
function allowed(project) {
  const text = readFileSync(join(project, 'tsconfig.json'), 'utf8');
  const { references = [], compilerOptions = {} } = JSON.parse(text.replaceAll(/^\s*\/\/.*$/gm, ''));
  const folders = new Set([project, ...references.map(({ path }) => normalize(join(project, path)))]);
  return { folders, packages: compilerOptions.types?.length !== 0 };
}

/** What a file imports, for its types or at run time: files, and names of packages. */
function importsOf(file) {
  const text = readFileSync(file, 'utf8');
  const names = [...text.matchAll(/(?:\bfrom|\bimport\(|^import) ?'([^']*)'/gm)].map(([, name]) => name);
  return {
    files: names
      .filter((name) => name.startsWith('.'))
      .map((name) => join(dirname(file), name.replace(/\.js$/, '.ts'))),
    packages: names.filter((name) => !name.startsWith('.')),
  };
}

const imports = new Map(files.map((file) => [file, importsOf(file)]));
const faults = [];

for (const [file, { files: targets, packages }] of imports) {
  const project = projectOf(file);
  const may = allowed(project);
  const refuse = (what, reason) => faults.push(`${file} imports ${what}: ${project}/tsconfig.json ${reason}`);
  for (const target of targets.filter((one) => imports.has(one)))
    if (!may.folders.has(projectOf(target))) refuse(target, `has no reference to ${projectOf(target)}`);
  for (const name of packages) {
    const folder = join('native', name);
    if (!may.packages) refuse(name, 'is for code that imports no package');
    else if (existsSync(folder) && !may.folders.has(folder)) refuse(name, `has no reference to ${folder}`);
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
  for (const target of imports.get(file)?.files ?? []) follow(target, [...path, file]);
  done.add(file);
}
for (const file of files) follow(file, []);

for (const fault of faults) console.error(fault);
process.exit(faults.length === 0 ? 0 : 1);
