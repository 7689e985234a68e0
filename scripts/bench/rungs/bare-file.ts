/** The least that a durable write of a file can be: bare node:http, and a file that is whole and on disk under its name. */
import { mkdtempSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { listenAndAnnounce } from './announce.ts';
import { answerOf } from './echo.ts';

const folder = mkdtempSync(join(process.env['FLOTILLA_DATA'] ?? tmpdir(), 'bare-files-'));
const files = 500;
let number = 0;

/** Never seen in part, and not lost in a power cut: what it holds is synced before it has its name, and then the name. */
async function write(text: string): Promise<void> {
  number += 1;
  const temporary = join(folder, `${number}.tmp`);
  {
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(text);
    await file.sync();
  }
  await rename(temporary, join(folder, `written-${number % files}.txt`));
  await using names = await open(folder);
  await names.sync();
}

async function answer(text: string, response: ServerResponse): Promise<void> {
  await write(text);
  const body = answerOf(text);
  response
    .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body);
}

listenAndAnnounce(
  createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => void answer(Buffer.concat(chunks).toString('utf8'), response));
  }),
);
