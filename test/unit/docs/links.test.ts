import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** All Markdown of the repository, by paths from its root. */
const pages = (function below(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^(\..*|node_modules|dist)$/.test(entry.name) ? [] : below(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
})('.');

/** A page without its code blocks, which may hold anything. */
const prose = (page: string): string => read(page).replaceAll(/^```[\s\S]*?^```/gm, '');

/** The anchors that a page's headings have, as GitHub makes them. */
const anchors = (page: string): string[] =>
  [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

/** The links of a page to files, as it writes them. */
const links = (page: string): string[] =>
  [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter((link) => !/^[a-z]+:/.test(link));

/** The file that a link leads to, from the root. */
const target = (page: string, link: string): string => {
  const [path = ''] = link.split('#');
  return path === '' ? page : join(dirname(page), path);
};

describe.each(pages)('%s', (page) => {
  test('its links lead somewhere', () => {
    const broken = links(page).filter((link) => {
      const file = target(page, link);
      const [, anchor] = link.split('#');
      if (!existsSync(join(root, file))) return true;
      return anchor !== undefined && !anchors(file).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test('the paths that it names are there, from the root or from its own folder', () => {
    const named = [...prose(page).matchAll(/`((?:src|test|native|docs|systemd)\/[\w./-]+)`/g)];
    const missing = named
      .map(([, path = '']) => path)
      .filter((path) => ![path, join(dirname(page), path)].some((each) => existsSync(join(root, each))));
    expect(missing).toEqual([]);
  });

  test('the commands of the repository that it names are there', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const commands = [...read(page).matchAll(/npm run ([\w:-]*\w)/g)].map(([, name = '']) => name);
    expect(commands.filter((name) => scripts[name] === undefined)).toEqual([]);
    const projects = [...read(page).matchAll(/--project (\w+)/g)].map(([, name = '']) => name);
    expect(projects.filter((name) => !read('vitest.config.ts').includes(`name: '${name}'`))).toEqual([]);
    const files = [...read(page).matchAll(/test\/(?:unit|integration)\/[\w/-]+\.test\.ts/g)].map(
      ([path]) => path,
    );
    expect(files.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

test('every page of docs is found from its index', () => {
  const found = new Set(['docs/README.md']);
  for (const page of found) {
    for (const link of links(page)) {
      const file = target(page, link);
      if (file.endsWith('.md') && existsSync(join(root, file))) found.add(file);
    }
  }
  const wanted = pages.filter((page) => page.startsWith('docs/'));
  expect(wanted.length).toBeGreaterThan(20);
  expect(wanted.filter((page) => !found.has(page)).map((page) => relative('docs', page))).toEqual([]);
});
