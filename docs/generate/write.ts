import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { generatedFiles } from './files.js';

// npm run generate: writes what is made from the sources and is not as it should be.
for (const { file, make } of generatedFiles) {
  const path = fileURLToPath(new URL(`../../${file}`, import.meta.url));
  const current = readFileSync(path, 'utf8');
  const made = make(current);
  if (made === current) continue;
  writeFileSync(path, made);
  console.log(`${file} written`);
}
