/** `flotilla bench` as a person runs it; what it measures is judged elsewhere. */
import { once } from 'node:events';
import { mkdtempDisposableSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { exitCodes } from '#runtime/errors.ts';

import { suiteNames } from '../../scripts/bench/suites.ts';
import { sendTraffic } from '../../scripts/bench/traffic.ts';
import { run } from '../support/fleet.ts';

test('it measures a suite, says how, and writes a report in three forms', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-bench-'));

  const { code, stdout, stderr } = run(['bench', 'clients', '--quick', '--report', folder.path], {});

  expect({ code, stderr }).toMatchObject({ code: exitCodes.ok });
  expect(stdout).toMatch(/^A thousand clients\nclients +calls/m);
  expect(readdirSync(folder.path).toSorted()).toEqual(['report.html', 'report.json', 'report.md']);
  const report = JSON.parse(readFileSync(join(folder.path, 'report.json'), 'utf8')) as {
    sections: { method: string; rows: unknown[][]; faults: string[] }[];
  };
  expect(report.sections).toHaveLength(1);
  expect(report.sections[0]).toMatchObject({
    method: expect.stringContaining('1000 connections'),
    faults: [],
  });
});

test.each([
  { answer: 'a text that was asked for', status: 200, isFailure: false },
  { answer: 'another text', status: 200, isFailure: true },
  { answer: '{"isError":true,"text":"a text that was asked for"}', status: 200, isFailure: true },
  { answer: 'a text that was asked for', status: 503, isFailure: true },
])(
  'under load, "$answer" with status $status is a failure: $isFailure',
  async ({ answer, status, isFailure }) => {
    await using server = createServer((_request, response) => {
      response.writeHead(status).end(answer);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;

    const { calls, failed } = await sendTraffic({
      url: `http://127.0.0.1:${port}`,
      connections: 2,
      calls: 20,
      requests: [{ headers: {}, body: '{}' }],
      mustSay: 'asked for',
    });

    expect({ calls, failed }).toEqual({ calls: 20, failed: isFailure ? 20 : 0 });
  },
);

test('suites that need data say so without it', () => {
  const { code, stdout } = run(['bench', 'retrieval', 'scale', '--quick'], {});

  expect(code).toBe(exitCodes.ok);
  expect(stdout.match(/skipped: it needs --data FILE in the format of LoCoMo/g)).toHaveLength(2);
});

test('a suite that does not exist is named, with those that do', () => {
  const { code, stderr } = run(['bench', 'speed'], {});

  expect(code).toBe(exitCodes.usage);
  const known = suiteNames.join(', ');
  expect(stderr).toBe(`flotilla: There is no suite speed. There are: ${known}.\n`);
});

test('without the development dependencies it says in one line what is missing', () => {
  const hook = `import { registerHooks } from 'node:module';
    registerHooks({ resolve(specifier, context, next) {
      if (specifier === 'autocannon') throw new Error('not installed');
      return next(specifier, context);
    } });`;

  const { code, stdout, stderr } = run(['bench'], {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}`,
  });

  expect({ code, stdout }).toEqual({ code: exitCodes.unavailable, stdout: '' });
  expect(stderr).toBe(
    'flotilla: The bench needs autocannon, a development dependency: run "npm ci" without --omit=dev.\n',
  );
});
