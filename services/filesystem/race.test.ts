import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { ToolError } from '#runtime/errors.ts';
import { startProgram } from '#runtime/starter.ts';
import { invoke, testCall } from '#runtime/testing.ts';

import { secret, testPlace, type TestPlace } from './place.fixture.ts';
import { allTools } from './service.ts';
import { inWorkshop } from './workshop.ts';

/** While this is there, `folder` and `file.txt` are links to the outside half of the time. */
async function flipping(place: TestPlace) {
  mkdirSync(join(place.outside, 'below'));
  for (const name of ['f.txt', 'below/g.txt', 'file.txt']) writeFileSync(join(place.outside, name), secret);
  const program = fileURLToPath(new URL('flipper.fixture.ts', import.meta.url));
  const child: ChildProcess = fork(program, [place.root, place.outside]);
  return {
    async flips() {
      child.send('how many');
      const [flips] = (await once(child, 'message')) as [number];
      return flips;
    },
    async [Symbol.asyncDispose]() {
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

const inside = { 'folder/f.txt': 'within\n', 'folder/below/g.txt': 'within\n', 'file.txt': 'within\n' };

/** Everything that lies outside, to see that nothing of it was touched. */
const outsideOf = ({ outside }: TestPlace) =>
  readdirSync(outside, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    const { ino, mtimeMs, size } = statSync(path);
    return [path, ino, mtimeMs, size, entry.isFile() ? readFileSync(path, 'utf8') : ''];
  });

const patch = (name: string) => `--- a/${name}\n+++ b/${name}\n@@ -1 +1 @@\n-within\n+within\n`;

let serial = 0;
let deleted = '';
const attempts: readonly (readonly [string, () => object])[] = [
  ['read_text_file', () => ({ path: 'folder/f.txt' })],
  ['read_text_file', () => ({ path: 'file.txt' })],
  ['read_text_file', () => ({ path: 'folder/below/g.txt', tail: 1 })],
  ['read_media_file', () => ({ path: 'folder/f.txt' })],
  ['read_multiple_files', () => ({ paths: ['folder/f.txt', 'file.txt'] })],
  ['read_file_lines', () => ({ path: 'folder/f.txt', start_line: 1, end_line: 3 })],
  ['get_file_info', () => ({ path: 'folder/f.txt' })],
  ['get_file_hash', () => ({ path: 'folder/f.txt', algorithm: 'md5' })],
  ['list_directory', () => ({ path: 'folder' })],
  ['list_directory_with_sizes', () => ({ path: 'folder/below' })],
  ['directory_tree', () => ({ path: '.', respectGitignore: true })],
  ['search_files', () => ({ path: 'folder', pattern: '**/*' })],
  ['search_file_contents', () => ({ path: '.', pattern: 'i' })],
  ['pack_directory', () => ({ path: '.' })],
  ['find_duplicates', () => ({ path: '.' })],
  ['get_folder_size', () => ({ path: 'folder' })],
  ['write_file', () => ({ path: 'folder/f.txt', content: 'within\n' })],
  ['write_file', () => ({ path: 'file.txt', content: 'within\n' })],
  ['write_file', () => ({ path: `folder/new/${(serial += 1)}`, content: 'new', createParents: true })],
  ['append_file', () => ({ path: 'folder/below/g.txt', content: 'within\n' })],
  ['edit_file', () => ({ path: 'folder/f.txt', edits: [{ oldText: 'within', newText: 'within' }] })],
  ['apply_patch', () => ({ path: '.', patch: patch('folder/f.txt') + patch('file.txt') })],
  ['create_directory', () => ({ path: `folder/made/${(serial += 1)}` })],
  ['copy_file', () => ({ source: 'folder/below', destination: `folder/copy${(serial += 1)}` })],
  ['copy_file', () => ({ source: 'folder/f.txt', destination: `copies${(serial += 1)}` })],
  ['move_file', () => ({ source: `folder/new/${serial}`, destination: `folder/moved${serial}` })],
  ['delete_file', () => ({ path: `folder/moved${serial}`, recursive: true })],
  ['delete_file', () => ({ path: 'folder/new', recursive: true })],
  ['restore_file', () => ({ trash_id: deleted, destination: `folder/back${(serial += 1)}` })],
];

const openDescriptors = () => readdirSync('/proc/self/fd').length;

test('nothing outside is read or written, whatever is swapped for links meanwhile', async () => {
  await using place = testPlace(inside);
  await using flipper = await flipping(place);
  const before = outsideOf(place);
  const outcomes = new Map<string, number>();
  // The thread that edits texts holds some too, as long as it is there, and so does what starts programs.
  await inWorkshop(testCall(), async (ask) => ask({ kind: 'read patch', text: '' }));
  await startProgram({ file: '/bin/true', args: [], cwd: '/', env: {}, inputs: [], hasChannel: false });
  const descriptors = openDescriptors();

  const attempt = async ([name, args]: (typeof attempts)[number]) => {
    const tool = allTools.find((candidate) => candidate.name === name);
    if (!tool) throw new TypeError(`No tool ${name}`);
    const outcome = await invoke(tool, args(), place.files).then(
      (value) => {
        const said = JSON.stringify(value);
        expect(said, name).not.toContain(secret);
        expect(said, name).not.toContain('secret.txt');
        expect(said, name).not.toContain(Buffer.from(secret).toString('base64'));
        if ('trash_id' in value) deleted = value.trash_id as string;
        return 'ok';
      },
      (error: unknown) => {
        if (error instanceof ToolError) return error.code;
        throw error;
      },
    );
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  };
  // Until it has run into both, and often: the folder, and the link in its place.
  const isEnough = async () =>
    (outcomes.get('ok') ?? 0) > 100 &&
    (outcomes.get('forbidden') ?? 0) > 10 &&
    (await flipper.flips()) >= 1_000;
  while (!(await isEnough())) {
    for (const one of attempts) await attempt(one);
    // At the same time, so that the number of a closed descriptor is soon that of another.
    await Promise.all([...attempts, ...attempts].map(attempt));
  }

  expect(outsideOf(place)).toEqual(before);
  // Folders are held for a moment longer.
  await expect.poll(openDescriptors).toBeLessThanOrEqual(descriptors);
});

test('who only looks before reading does read what lies outside, in the same race', async () => {
  await using place = testPlace(inside);
  await using _flipper = await flipping(place);
  const path = join(place.root, 'folder/f.txt');

  await expect.poll(async () => readFile(path, 'utf8').catch(() => ''), { interval: 0 }).toBe(secret);
});
