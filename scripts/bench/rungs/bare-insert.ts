/** The least that a durable write can be: bare node:http, and one insert of better-sqlite3 with the fleet's durability. */
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openDatabase } from '#runtime/database.ts';

import { listenAndAnnounce } from './announce.ts';
import { answerOf } from './echo.ts';

const folder = process.env['FLOTILLA_DATA'] ?? mkdtempSync(join(tmpdir(), 'flotilla-insert-'));
const database = openDatabase(join(folder, 'bare.db'), new URL('bare-insert', import.meta.url).pathname);
const insert = database.prepare('INSERT INTO note (text) VALUES (?)');

listenAndAnnounce(
  createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      insert.run(text);
      const body = answerOf(text);
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
        .end(body);
    });
  }),
);
