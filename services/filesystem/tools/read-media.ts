import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';

import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { Reply } from '#runtime/tool.ts';

import { locate, openFile } from '../beneath.ts';
import { fileTool, pathField } from '../file-tool.ts';
import { maxMediaBytes } from '../limits.ts';
import { readAll } from '../text.ts';

const mimeTypes: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
  '.bmp': 'image/bmp',
  '.svg': 'image/svg+xml',
  '.mp3': 'audio/mpeg',
  '.wav': 'audio/wav',
  '.ogg': 'audio/ogg',
  '.flac': 'audio/flac',
};

const block = z.union([
  z.object({
    type: z.enum(['image', 'audio']).describe('What the file is.'),
    data: z.string().describe('Its bytes in base64.'),
    mimeType: z.string().describe('By the ending of its name.'),
  }),
  z.object({
    type: z.literal('resource').describe('Neither image nor audio.'),
    resource: z
      .object({
        uri: z.string().describe('Where the file is.'),
        mimeType: z.string().optional().describe('By the ending of its name.'),
        blob: z.string().describe('Its bytes in base64.'),
      })
      .describe('The file.'),
  }),
]);

export const readMediaFile = fileTool({
  name: 'read_media_file',
  title: 'Read Media File',
  description:
    'Read an image, an audio file or any other file as base64, up to 10 MiB. For text use read_text_file.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ path: pathField('Absolute, or relative to the first allowed directory.') }),
  output: z.object({ content: z.array(block).describe('The file as one content block.') }),

  async handler({ path }, files) {
    await using place = await locate(files, path);
    await using file = await openFile(files, place);
    const data = (await readAll(file, place.path, maxMediaBytes)).toString('base64');
    const mimeType = mimeTypes[extname(place.path).toLowerCase()] ?? 'application/octet-stream';
    const kind = (['image', 'audio'] as const).find((kind) => mimeType.startsWith(`${kind}/`));
    const content = kind
      ? { type: kind, data, mimeType }
      : {
          type: 'resource' as const,
          resource: { uri: pathToFileURL(place.path).href, mimeType, blob: data },
        };
    return new Reply({ content: [content] }, { content: [content] });
  },
});
