import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Workload } from '#runtime/workload.ts';

const folders = 100;
const filesEach = 100;
const lineOf = (number: number) =>
  `${number}: the staging database moved to port ${4_000 + (number % 1_000)}\n`;
const pathOf = (number: number) => `folder-${number % folders}/file-${(number * 7) % filesEach}.txt`;

export const workload: Workload<void> = {
  settings: (folder) => ({ FLOTILLA_ROOTS: folder }),
  async seed({ folder }) {
    for (let number = 0; number < folders; number += 1) {
      const parent = join(folder, `folder-${number}`);
      mkdirSync(parent);
      for (let file = 0; file < filesEach; file += 1) {
        const lines = Array.from({ length: 40 }, (_, line) => lineOf(number * filesEach + file + line));
        writeFileSync(join(parent, `file-${file}.txt`), lines.join('').slice(0, 2_000));
      }
    }
    writeFileSync(
      join(folder, 'large.txt'),
      Array.from({ length: 400_000 }, (_, line) => `${line}\n`).join(''),
    );
  },
  calls: [
    {
      title: 'read_text_file of 2 KB',
      tool: 'read_text_file',
      kind: 'small-read',
      arguments: (number) => ({ path: pathOf(number) }),
    },
    {
      title: 'get_file_info',
      tool: 'get_file_info',
      kind: 'small-read',
      arguments: (number) => ({ path: pathOf(number) }),
    },
    {
      title: 'write_file of 1 KB',
      tool: 'write_file',
      kind: 'file-write',
      arguments: (number) => ({ path: `written-${number % 500}.txt`, content: lineOf(number).repeat(20) }),
    },
    {
      title: 'list_directory, 100 files',
      tool: 'list_directory',
      kind: 'large',
      arguments: (number) => ({ path: `folder-${number % folders}` }),
    },
    {
      title: 'search_file_contents, 10,000 files',
      tool: 'search_file_contents',
      kind: 'large',
      arguments: (number) => ({ path: '.', pattern: `port 4${100 + (number % 900)}`, max_results: 5 }),
    },
  ],
  heavy: [
    {
      tool: 'search_file_contents',
      arguments: () => ({ path: '.', pattern: '([0-9]+: )+the (s|t|a)*b', regex: true, max_results: 1_000 }),
    },
    { tool: 'directory_tree', arguments: () => ({ path: '.' }) },
    { tool: 'find_duplicates', arguments: () => ({ path: '.' }) },
    { tool: 'pack_directory', arguments: () => ({ path: '.' }) },
    {
      tool: 'edit_file',
      arguments: (number) => ({
        path: 'large.txt',
        edits: [{ oldText: '\n399999\n', newText: `\n399999\n` }],
        dryRun: number % 2 === 0,
      }),
    },
  ],
};
