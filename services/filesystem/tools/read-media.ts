import { pathToFileURL } from 'node:url';

import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { Reply } from '#runtime/tool.ts';

import { openFileAt } from '../beneath.ts';
import { pathField } from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import { answerBytes, maxMediaBytes } from '../limits.ts';
import { mediaOf } from '../media.ts';
import { readAll } from '../text.ts';

export const readMediaFile = fileTool({
  name: 'read_media_file',
  title: 'Read Media File',
  description:
    'Read an image (PNG, JPEG, GIF, WebP) or audio, an SVG as text, any other file as base64, up to 4 MiB. For text use read_text_file.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ path: pathField('The file.') }),
  output: z.object({
    content: z
      .array(z.looseObject({ type: z.string().describe('Its kind.') }))
      .describe('One content block.'),
  }),

  async handler({ path }, files) {
    await using file = await openFileAt(files, path);
    const contents = await readAll(file, maxMediaBytes);
    const content = [blockOf(contents, file.path)];
    return new Reply({ content }, { content });
  },
});

function blockOf(contents: Buffer, path: string) {
  const { kind: type, mimeType } = mediaOf(contents, path);
  if (type === 'svg') return { type: 'text', text: beginningOf(contents) };
  const data = contents.toString('base64');
  return type === 'other'
    ? { type: 'resource', resource: { uri: pathToFileURL(path).href, mimeType, blob: data } }
    : { type, data, mimeType };
}

/** Also a text has to fit into a client. */
function beginningOf(contents: Buffer): string {
  if (contents.length <= answerBytes) return contents.toString();
  return `${contents.toString('utf8', 0, answerBytes)}\n\n[truncated: read_text_file reads all of it]`;
}
