import { symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import type { ToolError } from '#runtime/errors.ts';
import { executeTool } from '#runtime/account/execute.ts';
import { testCall } from '#runtime/testing.ts';
import type { AnyTool, Reply } from '#runtime/tool.ts';

import type { Files } from './files.ts';
import recorded from './official.recorded.json' with { type: 'json' };
import { testPlace } from './place.fixture.ts';
import { coreTools } from './service.ts';

const contents = {
  'a.txt': 'one\ntwo\nthree',
  'b.md': '# Title\n\nText with `code`.\n',
  'src/main.ts': "function main() {\n  console.log('hello');\n  return 1;\n}\n",
  'src/deep/x.ts': 'x\n',
  'src/.hidden': '',
  'pic.png': Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  ),
  'sound.mp3': 'ID3\u0004\0\0\0\0\0\0',
  'data.bin': 'bytes',
  'empty/': '',
  'big.txt': 'x'.repeat(3000),
  'ünïcode.txt': 'ü\n',
};

// What @modelcontextprotocol/server-filesystem 2026.8.31 answered to these calls, in this order, over stdio.
test('the official tools answer as the official server does', async () => {
  await using place = testPlace(contents);
  symlinkSync(place.outside, join(place.root, 'escape'));
  symlinkSync('a.txt', join(place.root, 'link.txt'));
  const here = (value: unknown) =>
    JSON.parse(
      JSON.stringify(value)
        .replaceAll('{root}', place.root)
        .replaceAll('{other}', place.other)
        .replaceAll('{base}', place.path),
    ) as Record<string, unknown>;

  for (const { tool: name, args, ...answer } of recorded) {
    const tool = coreTools.find((candidate) => candidate.name === name);
    if (!tool) throw new TypeError(`No tool ${name}`);

    const ours = await (async () => executeTool(tool, here(args), place.files, testCall()))().then(
      (reply) => shown(tool, reply as Reply<Record<string, unknown>>),
      (error: ToolError) => ({ isError: true, text: error.message }),
    );

    expect(ours, `${name} ${JSON.stringify(args)}`).toEqual(here(answer));
  }
});

/** As a client sees it, without times and the keys that are ours. */
function shown(tool: AnyTool<Files>, { value, content }: Reply<Record<string, unknown>>) {
  const structured = JSON.parse(untimed(JSON.stringify({ content: value['content'] }))) as object;
  if (content) return { content, structured };
  const text = JSON.parse(untimed(JSON.stringify(tool.text?.(value)))) as string;
  // Where a success was none, ours says so behind the text of the official one.
  return { text: text.replace(/\n\n\[it was there already\]$/, ''), structured };
}

const untimed = (json: string) =>
  json.replaceAll(/(created|modified|accessed): [^\\]+/g, '$1: {time}').replaceAll(/\\netag: \w+/g, '');
