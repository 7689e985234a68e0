import { createServer } from 'node:http';
import { once } from 'node:events';

import { afterEach, expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';

import type { ProcessState } from '../../health/poller.ts';
import { temporaryFolder } from '../../tests/support/serve.ts';
import { freePortOffset } from '../ports.ts';
import { status } from './status.ts';

afterEach(() => {
  process.exitCode = undefined;
});

test('a process that answers, and does not do its job as health sees it, is not shown as up', async () => {
  using folder = temporaryFolder();
  const offset = await freePortOffset();
  const verdict = (name: string, canaryDown: boolean): ProcessState => ({
    name,
    status: 'down',
    latencyMs: 1,
    reason: canaryDown ? 'tools/list: it lists no\u001b[31m tools, and has 2' : 'connection refused',
    since: null,
    flapping: false,
    detectionMs: null,
    canaryMs: null,
    canaryDown,
    uptime: { hour: null, day: null },
  });
  // Of context the polls of health are older than our own look: it has just come up.
  const processes = [verdict('memory', true), verdict('context', false)];
  const servers = await Promise.all(
    ['memory', 'context', 'health'].map(async (name) => {
      const server = createServer((_request, response) => {
        response.end(JSON.stringify({ name, ready: true, reasons: [], processes }));
      });
      server.listen((entryOf(name)?.port ?? 0) + offset, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);

  await status({}, { FLOTILLA_DATA: folder.path, FLOTILLA_PORT_OFFSET: String(offset) });

  const text = write.mock.calls.map(([part]) => String(part)).join('');
  write.mockRestore();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  expect(text).toMatch(
    /\nmemory .*✕ down.*: it answers, but does not do its job: tools\/list: it lists no tools, and has 2\n/,
  );
  expect(text).toMatch(/\ncontext .*● up/);
  expect(process.exitCode).toBe(1);
});
