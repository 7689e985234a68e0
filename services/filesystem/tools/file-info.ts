import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';

import { z } from 'zod';

import { reading } from '#runtime/hints.ts';

import { seenAtOnce } from '../at-once.ts';
import { hold, locate, openFileAt, openHeld } from '../beneath.ts';
import { pathField, etagField, contentOutput, contentText } from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import type { Files } from '../files.ts';
import type { Handle } from '../handle.ts';
import { maxTextBytes } from '../limits.ts';
import { etagOf, piecesOf, readAll } from '../text.ts';
import { teller } from '../work.ts';

export const getFileInfo = fileTool({
  name: 'get_file_info',
  title: 'Get File Info',
  description: 'Size, times, kind and permissions of a file or folder, and the etag of a file.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ path: pathField('The file.') }),
  output: contentOutput.extend({ etag: etagField.optional() }),
  text: contentText,

  handler({ path }, files) {
    const { stat, contents } = seenAtOnce(files, path, maxTextBytes) ?? {};
    if (stat && contents) return told(stat, etagOf(contents));
    return stat?.isDirectory() ? told(stat, undefined) : lookAt(path, files);
  },
});

async function lookAt(path: string, files: Files) {
  await using place = await locate(files, path);
  await using held = await hold(place);
  const stat = await held.stat();
  // Who may not read it may look at it.
  const isRead = stat.size <= maxTextBytes;
  return told(stat, isRead ? await etagIn(files, held, stat).catch(() => undefined) : undefined);
}

function told(stat: Stats, etag: string | undefined) {
  const lines = [
    `size: ${stat.size}`,
    `created: ${timeOf(stat.birthtimeMs)}`,
    `modified: ${timeOf(stat.mtimeMs)}`,
    `accessed: ${timeOf(stat.atimeMs)}`,
    `isDirectory: ${stat.isDirectory()}`,
    `isFile: ${stat.isFile()}`,
    `permissions: ${stat.mode.toString(8).slice(-3)}`,
  ];
  if (etag === undefined) return { content: lines.join('\n') };
  return { content: [...lines, `etag: ${etag}`].join('\n'), etag };
}

/** As the dates of the stat itself, which takes longer to make them. */
const timeOf = (ms: number) => String(new Date(Math.round(ms)));

async function etagIn(files: Files, held: Handle, stat: Stats): Promise<string> {
  await using file = await openHeld(files, held, stat);
  return etagOf(await readAll(file, maxTextBytes, stat));
}

export const getFileHash = fileTool({
  name: 'get_file_hash',
  isLong: true,
  title: 'Get File Hash',
  description: 'The hash of a file of any size.',
  effect: 'read',
  hints: reading,
  input: z.object({
    path: pathField('The file.'),
    algorithm: z.enum(['sha256', 'sha512', 'sha1', 'md5']).default('sha256').describe('Which hash.'),
  }),
  output: z.object({
    hash: z.string().describe('Hexadecimal.'),
    size: z.int().describe('Bytes.'),
  }),
  text: ({ hash, size }) => `${hash} (${size} bytes)`,
  task: 'optional',
  timeoutMs: 120_000,

  async handler({ path, algorithm }, files, call) {
    await using file = await openFileAt(files, path);
    const hash = createHash(algorithm);
    const { size: total } = await file.stat();
    const tell = teller(call);
    let size = 0;
    for await (const piece of piecesOf(file, call)) {
      hash.update(piece);
      size += piece.length;
      tell(size, total, 'bytes read');
    }
    return { hash: hash.digest('hex'), size };
  },
});
