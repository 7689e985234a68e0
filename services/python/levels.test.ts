/** What the service says of its isolation: where it is less than usual, and where there can be none. */
import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { beforeEach, describe, expect, test } from 'vitest';

import { filesOf, hostPrograms, startConfined, viewOf, whyNoSandbox, type View } from '#runtime/sandbox.ts';

import { kernelForbids } from '../../tests/support/reporter.ts';
import { serve } from '../../tests/support/serve.ts';
import { openForTest, told } from './python.fixture.ts';
import service from './service.ts';

test.each([
  ['none', /isolation is none|ISOLATION is none: .* without limits/i],
  ['basic', /ISOLATION is basic: .* sees the files, processes and network/],
])('At the level %s the service is ready, and warns for as long as it runs', async (level, warning) => {
  await using served = await serve(service, { FLOTILLA_PYTHON_ISOLATION: level });

  for (const _ of [1, 2]) {
    const response = await fetch(`${served.url}/ready`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ ready: true, warnings: [expect.stringMatching(warning)] });
  }
});

test('At the level none time alone is limited, at basic all that is limited elsewhere', async () => {
  await using none = openForTest({ level: 'none' });
  await using basic = openForTest({ level: 'basic' });
  const big = { python_code: 'len(bytearray(300_000_000))' };
  const ran = async (open: typeof none, args: object) => (await told(open, 'run_python_code', args)).value;

  expect(await ran(none, big)).toMatchObject({ status: 'success' });
  expect((await ran(basic, big))['error']).toContain('MemoryError');
  for (const open of [none, basic]) {
    const { error } = await ran(open, { python_code: 'import time\ntime.sleep(60)', timeout_ms: 200 });
    expect(error).toContain('timeout_ms');
  }
});

/** Where no sandbox can be made: for inside one there is no way to another. What it sees is the host for the service. */
async function inHost(view: Pick<View, 'mounts' | 'links'>): Promise<Record<string, unknown>> {
  const home = realpathSync(fileURLToPath(new URL('../..', import.meta.url)));
  const code = `
    import { codeOf, openForTest, valueOf } from '${home}/services/python/python.fixture.ts';
    import service from '${home}/services/python/service.ts';
    const python = openForTest();
    const told = await service.check(python);
    const code = await codeOf(valueOf(python, '1'));
    const said = await valueOf(python, '1').catch((error) => error.message + ' ' + error.hint);
    console.log(JSON.stringify({ ...told, code, said }));
    process.exit();`;
  const node = realpathSync(process.execPath);
  const own = viewOf([home, realpathSync(`${home}/node_modules`)]);
  const needed = filesOf(node);
  const child = await startConfined({
    file: node,
    args: ['--input-type=module', '-e', code],
    cwd: '/',
    env: {},
    limits: {},
    view: {
      mounts: [...view.mounts, ...own.mounts, ...needed.mounts],
      links: new Map([...view.links, ...own.links, ...needed.links]),
      network: false,
    },
  });
  child.stdin.end();
  const [, said, errors] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
  try {
    return JSON.parse(said) as Record<string, unknown>;
  } catch (cause) {
    throw new Error(`${said}\n${errors}`, { cause });
  }
}

describe('Where no sandbox can be made, the service says what helps, and runs nothing', () => {
  beforeEach(async (context) => {
    const reason = await whyNoSandbox();
    if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);
  });

  test.each([
    ['as the kernel says no', () => hostPrograms(), /user\.max_user_namespaces|apt-get install bubblewrap/],
    [
      'as its programs are missing',
      () => ({ mounts: [], links: new Map() }),
      /apt-get install (?:util-linux|bubblewrap)/,
    ],
  ])('%s', async (_title, host, remedy) => {
    expect(await inHost(host())).toEqual({
      ready: false,
      reasons: [expect.stringMatching(remedy)],
      warnings: [],
      code: 'unavailable',
      said: expect.stringMatching(remedy) as string,
    });
  });
});
