import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Contract } from '#runtime/testing.ts';

const patch = '--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n';
const excluded = { excludePatterns: ['x'], respectGitignore: true };

export const contract: Contract = {
  listTokens: 6_400,
  settings: (folder) => ({ FLOTILLA_ROOTS: folder }),
  async prepare({ folder, foreign, call }) {
    writeFileSync(join(folder, 'a.txt'), 'one\n');
    writeFileSync(join(folder, 'said.txt'), foreign);
    writeFileSync(join(folder, foreign), foreign);
    writeFileSync(join(folder, 'gone.txt'), 'gone');
    mkdirSync(join(folder, 'folder'));
    writeFileSync(join(folder, 'folder', 'same.txt'), foreign);
    const deleted = await call('delete_file', { path: 'gone.txt' });
    return {
      read_file: { path: 'said.txt', head: 1 },
      read_text_file: { path: 'said.txt', tail: 1 },
      read_media_file: { path: 'said.txt' },
      read_multiple_files: { paths: ['said.txt'] },
      write_file: { path: 'new.txt', content: 'new', createParents: true },
      edit_file: {
        path: 'a.txt',
        edits: [{ oldText: 'one', newText: 'two' }],
        dryRun: false,
        replaceAll: true,
        expectedOccurrences: 1,
      },
      create_directory: { path: 'made' },
      list_directory: { path: '.', limit: 5 },
      list_directory_with_sizes: { path: '.', sortBy: 'size', limit: 5 },
      directory_tree: { path: '.', ...excluded, maxDepth: 3, maxEntries: 5 },
      move_file: { source: 'a.txt', destination: 'b.txt', createParents: true },
      search_files: { path: '.', pattern: '*', ...excluded, limit: 5 },
      get_file_info: { path: 'a.txt' },
      list_allowed_directories: {},
      search_file_contents: {
        path: '.',
        pattern: 'F.R',
        regex: true,
        ignore_case: true,
        glob: '*',
        ...excluded,
        context_lines: 1,
        max_results: 5,
      },
      read_file_lines: { path: 'said.txt', start_line: 1, end_line: 2 },
      copy_file: { source: 'a.txt', destination: 'b.txt', createParents: true },
      delete_file: { path: 'a.txt', recursive: true },
      list_trash: { limit: 5 },
      restore_file: { trash_id: deleted['trash_id'], destination: 'back.txt' },
      append_file: { path: 'a.txt', content: 'more', createParents: true },
      apply_patch: { path: '.', patch, dryRun: false },
      get_file_hash: { path: 'a.txt', algorithm: 'md5' },
      get_folder_size: { path: '.', limit: 5 },
      find_duplicates: { path: '.', ...excluded, min_bytes: 1, limit: 5 },
      pack_directory: { path: '.', include: ['*'], ...excluded, max_bytes: 1_000 },
    };
  },
  largest: () => ({
    write_file: { path: 'large.txt', content: 'line\n'.repeat(800_000) },
    edit_file: { path: 'a.txt', edits: [{ oldText: 'one', newText: 'line\n'.repeat(800_000) }] },
    append_file: { path: 'a.txt', content: 'line\n'.repeat(800_000) },
    apply_patch: {
      path: '.',
      patch: `--- /dev/null\n+++ b/large.txt\n@@ -0,0 +1,600000 @@\n${'+line\n'.repeat(600_000)}`,
    },
  }),
};
