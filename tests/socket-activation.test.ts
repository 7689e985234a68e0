/** A process on a socket that somebody else listens on, as under systemd; systemd itself is in tests/e2e/systemd.test.ts. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { isolatedEnvironment } from '../scripts/environment.ts';
import { serveCommand } from '../scripts/serve-command.ts';
import { temporaryFolder } from './support/serve.ts';

interface Place extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly url: string;
  readonly notified: () => string;
}

/** The memory service on a socket of this process; the notify socket is a file that can be read. */
async function start(): Promise<Place> {
  const folder = temporaryFolder();
  const notifyFile = join(folder.path, 'notified');
  const notifyFd = openSync(notifyFile, 'a');
  const owner = createServer().listen({ port: 0, host: '127.0.0.1' });
  await once(owner, 'listening');
  const { port } = owner.address() as AddressInfo;
  const { _handle: handle } = owner as unknown as { _handle: { fd: number } };
  // The number of a process is known to itself alone before it runs.
  const child = spawn('/bin/sh', ['-c', 'LISTEN_PID=$$ exec "$0" "$@"', ...serveCommand('memory')], {
    env: isolatedEnvironment({
      FLOTILLA_DATA: folder.path,
      FLOTILLA_LOG_LEVEL: 'error',
      LISTEN_FDS: '2',
      LISTEN_FDNAMES: 'http:notify',
      WATCHDOG_USEC: '100000',
    }),
    stdio: ['ignore', 'ignore', 'inherit', handle.fd, notifyFd],
  });
  const ended = once(child, 'exit');
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    notified: () => readFileSync(notifyFile, 'utf8'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      closeSync(notifyFd);
      owner.close();
      folder[Symbol.dispose]();
    },
  };
}

test('It answers there, and says that it is ready, that it lives and that it stops', async () => {
  await using here = await start();
  await vi.waitFor(() => expect(here.notified()).toMatch(/^READY=1(WATCHDOG_USEC=\d+|WATCHDOG=1)+$/));

  // This process accepts connections too, and says nothing: who asks again comes to the child sooner or later.
  await vi.waitFor(async () => {
    const answer = await fetch(`${here.url}/health`, { signal: AbortSignal.timeout(200) });
    expect(await answer.json()).toMatchObject({ name: 'memory', pid: here.child.pid });
  }, 10_000);
  const ended = once(here.child, 'exit');
  here.child.kill('SIGTERM');

  expect(await ended).toEqual([0, null]);
  expect(here.notified()).toContain('STOPPING=1');
});
