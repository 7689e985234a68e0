import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { testPlace } from '../place.fixture.ts';
import { readMediaFile } from './read-media.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const png = bytes('\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0');
const webp = bytes('RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0');
const svg = '<?xml version="1.0"?>\n<!-- a drawing -->\n<svg xmlns="http://www.w3.org/2000/svg"/>\n';

async function read(name: string, contents: Buffer | string) {
  await using place = testPlace({ [name]: contents });
  const { content } = await invoke(readMediaFile, { path: name }, place.files);
  expect(content).toHaveLength(1);
  return content[0];
}

test.each([
  ['a.png', png, 'image', 'image/png'],
  ['a.jpg', bytes('\xff\xd8\xff\xe0\0\x10JFIF\0'), 'image', 'image/jpeg'],
  ['a.gif', bytes('GIF89a\x01\0\x01\0\0\0\0;'), 'image', 'image/gif'],
  ['a.webp', webp, 'image', 'image/webp'],
  ['wrong.jpg', png, 'image', 'image/png'],
  ['no ending', webp, 'image', 'image/webp'],
  ['a.mp3', bytes('ID3\x04\0\0\0\0\0\0'), 'audio', 'audio/mpeg'],
  ['frames.mp3', bytes('\xff\xfb\x90\x64\0\0'), 'audio', 'audio/mpeg'],
  ['a.wav', bytes('RIFF\x24\0\0\0WAVEfmt '), 'audio', 'audio/wav'],
  ['a.ogg', bytes('OggS\0\x02'), 'audio', 'audio/ogg'],
  ['a.flac', bytes('fLaC\0\0\0\x22'), 'audio', 'audio/flac'],
  ['a.m4a', bytes('\0\0\0\x20ftypM4A \0\0\0\0'), 'audio', 'audio/mp4'],
])('%s comes as what its bytes say (%#)', async (name, contents, type, mimeType) => {
  expect(await read(name, contents)).toEqual({ type, data: contents.toString('base64'), mimeType });
});

test.each([
  ['a.pdf', bytes('%PDF-1.7\n'), 'application/pdf'],
  ['text.jpg', 'no picture', 'application/octet-stream'],
  ['text.mp3', 'no sound', 'application/octet-stream'],
  ['empty.png', '', 'application/octet-stream'],
  ['cut.png', bytes('\x89PNG\r\n\x1a\n'), 'application/octet-stream'],
  ['cut.webp', bytes('RIFF\x1a\0\0\0WEBP'), 'application/octet-stream'],
  ['a.bmp', bytes('BM\x46\0\0\0\0\0\0\0\x36\0\0\0'), 'image/bmp'],
  ['utf-16.txt', bytes('\xff\xfea\0b\0'), 'application/octet-stream'],
  ['a.bin', bytes('\xff\xfb\xf0\0'), 'application/octet-stream'],
  ['a.svg', bytes('<svg>\0</svg>'), 'application/octet-stream'],
])('%s comes as a resource (%#)', async (name, contents, mimeType) => {
  expect(await read(name, contents)).toEqual({
    type: 'resource',
    resource: {
      uri: expect.stringMatching(/^file:\/\/\/.*\//) as string,
      mimeType,
      blob: Buffer.from(contents).toString('base64'),
    },
  });
});

test.each([
  ['a.svg', svg],
  ['drawing.xml', svg],
  ['part.svg', '<g/>'],
  ['marked.svg', `\ufeff${svg}`],
])('%s comes as text', async (name, contents) => {
  expect(await read(name, contents)).toEqual({ type: 'text', text: contents });
});

test('a long drawing is cut, and says how to read on', async () => {
  const block = await read('a.svg', `<svg>${'x'.repeat(100_000)}</svg>`);

  expect(block?.['text']).toMatch(/^<svg>x+\n\n\[truncated: read_text_file reads all of it\]$/);
});

test('what is too large for a message is refused', async () => {
  await expect(read('a.bin', Buffer.alloc(5 * 1024 ** 2))).rejects.toMatchObject({ code: 'too_large' });
});
