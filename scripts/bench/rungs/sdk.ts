/** The official SDK alone, used as its documents advise, its schemas made once. No token is asked for. */
import { createServer } from 'node:http';

import { getRequestListener } from '@hono/node-server';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

import { listenAndAnnounce } from './announce.ts';
import { echoDescription, echoResult } from './echo.ts';

const inputSchema = z.object({ text: z.string() });
const outputSchema = z.object({ text: z.string() });

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'echo', version: '1.0.0' });
  server.registerTool('echo', { description: echoDescription, inputSchema, outputSchema }, ({ text }) =>
    echoResult(text),
  );
  return server;
});

listenAndAnnounce(createServer(getRequestListener(async (request) => handler.fetch(request))));
