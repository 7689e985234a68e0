import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';

import { serve, type Served } from '../../tests/support/serve.ts';
import { defineService } from '../service.ts';

let served: Served;
const found = { ready: true, reasons: [] as string[], warnings: [] as string[] };
beforeAll(async () => {
  served = await serve(
    defineService({ name: 'memory', settings: z.object({}), open: () => ({}), check: () => ({ ...found }) }),
  );
});
afterAll(async () => served[Symbol.asyncDispose]());

async function ask(path: string, accept?: string) {
  const response = await fetch(`${served.url}${path}`, accept === undefined ? {} : { headers: { accept } });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

test('/livez and /readyz answer in a word while all is well, and in full where that is asked for', async () => {
  expect(await ask('/livez')).toMatchObject({ status: 200, text: 'ok\n' });
  expect(await ask('/readyz')).toMatchObject({ status: 200, text: 'ok\n' });
  expect((await ask('/livez?verbose')).text).toBe('[+]ping ok\n[+]check ok\nlivez check passed\n');
  expect((await ask('/readyz?verbose')).text).toBe(
    '[+]shutdown ok\n[+]disk ok\n[+]audit ok\n[+]code ok\n[+]service ok\nreadyz check passed\n',
  );
  expect(await ask('/readyz/disk')).toMatchObject({ status: 200, text: 'ok\n' });
  expect((await ask('/readyz/disk?verbose')).text).toBe('[+]disk ok\nreadyz check passed\n');
  expect(await ask('/readyz/nothing')).toMatchObject({ status: 404 });
});

test('what is not well is told, and can be left out; whether the process lives is another question', async () => {
  Object.assign(found, { ready: false, reasons: ['no upstream'], warnings: ['it is slow'] });

  expect(await ask('/livez')).toMatchObject({ status: 200, text: 'ok\n' });
  const { status, text } = await ask('/readyz');
  expect(status).toBe(503);
  expect(text).toContain('[+]disk ok\n');
  expect(text).toMatch(/\[-\]service failed: no upstream\nreadyz check failed\n$/);
  expect(await ask('/readyz/service')).toMatchObject({ status: 503 });
  expect(await ask('/readyz?exclude=service')).toMatchObject({ status: 200, text: 'ok\n' });
  const excluded = await ask('/readyz?verbose&exclude=service&exclude=%5B%2B%5Dx%0A');
  expect(excluded.text).toContain('[+]service excluded: ok\n');
  expect(excluded.text).toContain('warn: no check to exclude: "[+]x\\n"\n');
  expect(JSON.parse((await ask('/ready')).text)).toEqual({
    name: 'memory',
    ready: false,
    reasons: ['no upstream'],
    warnings: ['it is slow'],
  });
});

test('who asks for application/health+json gets that, and the status as before', async () => {
  Object.assign(found, { ready: false, reasons: ['no upstream'], warnings: [] });
  const accept = 'application/health+json, application/json;q=0.5';

  const health = await ask('/health', accept);
  const ready = await ask('/ready', accept);

  expect(health).toMatchObject({ status: 200, type: 'application/health+json' });
  expect(JSON.parse(health.text)).toMatchObject({
    status: 'pass',
    serviceId: 'memory',
    checks: { uptime: [{ observedUnit: 's', status: 'pass' }] },
  });
  expect(ready).toMatchObject({ status: 503, type: 'application/health+json' });
  expect(JSON.parse(ready.text)).toMatchObject({
    status: 'fail',
    output: 'no upstream',
    checks: {
      'memory:service': [{ componentType: 'component', status: 'fail', output: 'no upstream' }],
      'memory:disk': [{ status: 'pass' }],
    },
  });
  Object.assign(found, { ready: true, reasons: [], warnings: ['it is slow'] });
  expect(JSON.parse((await ask('/ready', accept)).text)).toMatchObject({
    status: 'warn',
    output: 'it is slow',
  });
  expect((await ask('/ready')).type).toBe('application/json');
});
