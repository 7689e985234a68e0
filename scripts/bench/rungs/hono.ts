/** The same answer through Hono and its bridge to Node: what a router and web-standard requests cost. */
import { createServer } from 'node:http';

import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';

import { listenAndAnnounce } from './announce.ts';
import { answerOf } from './echo.ts';

const app = new Hono();
app.post('/mcp', async (context) =>
  context.body(answerOf(await context.req.text()), 200, { 'content-type': 'application/json' }),
);

listenAndAnnounce(createServer(getRequestListener(app.fetch)));
