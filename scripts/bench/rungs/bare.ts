/** What Node itself gives: read the body, parse, answer with a length. No checks of any kind. */
import { createServer } from 'node:http';

import { listenAndAnnounce } from './announce.ts';
import { answerOf } from './echo.ts';

listenAndAnnounce(
  createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = answerOf(Buffer.concat(chunks).toString('utf8'));
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
        .end(body);
    });
  }),
);
