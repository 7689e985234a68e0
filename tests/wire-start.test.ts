/** How a service comes up, what it says of itself, and what it leaves behind when it does not come up. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { lockFolder } from '#runtime/database.ts';
import { ConfigError, DamagedDataError, UnavailableError } from '#runtime/errors.ts';
import { startService } from '#runtime/process/run.ts';
import type { AnyService } from '#runtime/service.ts';

import { headersOf, messageOf } from '../scripts/bench/message.ts';
import { callTool } from './support/rpc.ts';
import { serve, temporaryFolder } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

const quiet = { writeLog: () => {} };

describe('A start', () => {
  test('on a data folder that another process holds is refused as unavailable', async () => {
    await using served = await serve(wireService().service);

    const second = startService(wireService().service, 0, { FLOTILLA_DATA: served.dataRoot }, quiet);

    await expect(second).rejects.toThrow(UnavailableError);
    await expect(second).rejects.toThrow(/Another process works on/);
    expect(await callTool(served, 'echo', { nonce: 'x' })).toHaveProperty('result');
  });

  test('on a port that is taken is refused as unavailable, and lets the folder go', async () => {
    using folder = temporaryFolder();
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;

    const start = startService(wireService().service, port, { FLOTILLA_DATA: folder.path }, quiet);

    await expect(start).rejects.toThrow(new RegExp(`Port ${port} for wire is taken`));
    other.close();
    using lock = lockFolder(join(folder.path, 'wire'));
    expect(lock).toBeDefined();
  });

  test('that the service itself refuses lets the folder go, and tells its reason', async () => {
    using folder = temporaryFolder();
    const broken = wireService({
      open: () => {
        throw new DamagedDataError('notes.db is damaged');
      },
    }).service;

    await expect(startService(broken, 0, { FLOTILLA_DATA: folder.path }, quiet)).rejects.toThrow(/notes\.db/);

    using lock = lockFolder(join(folder.path, 'wire'));
    expect(lock).toBeDefined();
  });

  test('with a setting that nobody knows is refused as a matter of configuration', async () => {
    using folder = temporaryFolder();
    const environment = { FLOTILLA_DATA: folder.path, FLOTILLA_WIRE_SPEED: '9' };

    await expect(startService(wireService().service, 0, environment, quiet)).rejects.toThrow(ConfigError);
  });

  test('in a place that is no folder is refused as a matter of configuration', async () => {
    const start = startService(wireService().service, 0, { FLOTILLA_DATA: '/dev/null/data' }, quiet);

    await expect(start).rejects.toThrow(ConfigError);
  });

  test('gives the service its settings, its folder and the clock, and takes all of it back', async () => {
    const told: string[] = [];
    const service: AnyService = {
      ...wireService().service,
      open: ({ dataDir }: { dataDir: string }) => {
        told.push(`opened ${dataDir}`);
        return { [Symbol.asyncDispose]: async () => void told.push('closed') };
      },
    };

    const served = await serve(service);
    await served[Symbol.asyncDispose]();

    expect(told).toEqual([`opened ${join(served.dataRoot, 'wire')}`, 'closed']);
  });
});

describe('A running service', () => {
  test('says without a token that it is alive, ready and how it does', async () => {
    await using served = await serve(wireService().service);

    const [health, ready, metrics] = await Promise.all(
      ['health', 'ready', 'metrics'].map(async (path) => fetch(`${served.url}/${path}`)),
    );

    expect(await health?.json()).toMatchObject({ name: 'wire', status: 'pass', pid: process.pid });
    expect(await ready?.json()).toEqual({ name: 'wire', ready: true, reasons: [] });
    expect(metrics?.headers.get('content-type')).toContain('version=0.0.4');
    expect(await metrics?.text()).toContain('process_resident_memory_bytes');
  });

  test('is alive but not ready when its own check says so, with the reasons', async () => {
    await using served = await serve(
      wireService({ check: () => ({ ready: false, reasons: ['the disk is full'] }) }).service,
    );

    const ready = await fetch(`${served.url}/ready`);

    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ ready: false, reasons: ['the disk is full'] });
    expect((await fetch(`${served.url}/health`)).status).toBe(200);
    expect(await (await fetch(`${served.url}/metrics`)).text()).toContain('flotilla_ready{service="wire"} 0');
  });

  test.each([
    {
      what: 'throws',
      check: () => {
        throw new TypeError('path=/secret');
      },
    },
    { what: 'rejects', check: async () => Promise.reject(new TypeError('path=/secret')) },
  ])('whose check $what is not ready, and only the log says why', async ({ check }) => {
    const log: string[] = [];
    await using served = await serve(wireService({ check }).service, {}, 0, {
      writeLog: (line) => log.push(line),
    });

    const ready = await fetch(`${served.url}/ready`);

    expect(ready.status).toBe(503);
    expect(await ready.text()).not.toContain('secret');
    expect(log.join('\n')).toContain('path=/secret');
  });

  test('whose check hangs is not ready, and says so within its deadline', async () => {
    await using served = await serve(wireService({ check: async () => new Promise(() => {}) }).service);

    const ready = await fetch(`${served.url}/ready`);

    expect(await ready.json()).toMatchObject({
      ready: false,
      reasons: ['the readiness check did not finish'],
    });
  });

  test('does not count it as a bug of its own when a client goes away in the middle of its request', async () => {
    const log: string[] = [];
    await using served = await serve(wireService().service, {}, 0, { writeLog: (line) => log.push(line) });
    const message = messageOf('tools/call', { name: 'echo', arguments: { nonce: 'x' } });
    const headers = Object.entries(headersOf(served, message)).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );

    for (let i = 0; i < 5; i++) {
      const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(
        `POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n${headers.join('')}\r\n{"half":`,
      );
      await callTool(served, 'echo', { nonce: 'x' });
      socket.destroy();
      await once(socket, 'close');
    }
    await callTool(served, 'echo', { nonce: 'x' });

    expect(log).toEqual([]);
  });
});
