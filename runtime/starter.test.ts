/** Real programs, started by a process beside this one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { expect, test, vi } from 'vitest';

import { startBeside, type Order } from './starter.ts';

const order: Order = { file: '/bin/sh', args: [], cwd: '/', env: {}, inputs: [], hasChannel: false };

async function started(more: Partial<Order>) {
  const child = await startBeside({ ...order, ...more });
  if (!child) throw new Error('Nothing was started.');
  return child;
}

const inShell = async (script: string, more: Partial<Order> = {}) =>
  started({ args: ['-c', script], ...more });

test('a program has its streams, its folder and its environment alone, and leads a group', async () => {
  const child = await inShell(
    'cat; pwd; env | grep -v "^PWD=\\|^_=\\|^SHLVL=\\|^OLDPWD="; echo no >&2; exit 3',
    {
      cwd: '/usr',
      env: { NAME: 'a=b\nc' },
    },
  );
  child.stdin.end('given\n');

  const [said, errors, ended] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);

  expect({ said, errors, ended }).toEqual({
    said: 'given\n/usr\nNAME=a=b\nc\n',
    errors: 'no\n',
    ended: [3, null],
  });
});

test('this process does not fork for it: its parent is another one, and it leads a group', async () => {
  const child = await inShell('read word');
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ').map(Number) ?? [];

  const [, parent, group, session] = stat;
  child.kill('SIGTERM');

  expect(parent).not.toBe(process.pid);
  // Of one session, in which the kernel weighs them against each other by their priorities.
  expect([group, session]).toEqual([child.pid, parent]);
  expect(await once(child, 'close')).toEqual([null, 'SIGTERM']);
});

test('what it is told to end by as soon as it is there ends it', async () => {
  const ends = Array.from({ length: 60 }, async () => {
    const child = await inShell('read word');
    child.kill('SIGTERM');
    return once(child, 'close');
  });

  expect(new Set((await Promise.all(ends)).map(String))).toEqual(new Set([',SIGTERM']));
});

test('it reads whole what it is given beside its input, and speaks by its channel', async () => {
  const large = Buffer.alloc(300_000, 'x');
  const child = await inShell('cat <&3 | wc -c >&6; cat <&4 >&6; cat <&5 >&6', {
    inputs: [large, Buffer.from('two\n')],
    hasChannel: true,
  });
  // It may have closed before all was read.
  const closed = once(child, 'close');
  const [to, from] = [child.stdio[5] as NodeJS.WritableStream, child.stdio[6] as NodeJS.ReadableStream];
  to.end('three\n');

  expect(await text(from)).toBe('300000\ntwo\nthree\n');
  await closed;
});

test('a program gets no file of the starter, nor of another program', async () => {
  const other = await inShell('read word');
  const child = await inShell('exec ls /proc/self/fd');

  // The last is that of the listing itself.
  expect(await text(child.stdout)).toBe('0\n1\n2\n3\n');
  other.stdin.end();
  await once(other, 'close');
});

test.for([
  { what: 'a program that is not there', more: { file: '/no/such' }, code: 'ENOENT' },
  { what: 'a folder that is not there', more: { cwd: '/no/such' }, code: 'ENOENT' },
  { what: 'more arguments than there can be', more: { args: ['x'.repeat(200_000)] }, code: 'E2BIG' },
])('$what is an error', async ({ more, code }) => {
  const child = await started(more);

  await expect(once(child, 'close')).rejects.toMatchObject({ code });
});

test('many that end at once are all heard', async () => {
  const all = Array.from({ length: 50 }, async (_, number) => {
    const child = await inShell(`exit ${number}`);
    const [code] = (await once(child, 'close')) as [number];
    return code;
  });

  expect(await Promise.all(all)).toEqual(Array.from({ length: 50 }, (_, number) => number));
});

test('when the starter is killed, what it started ends, is heard of, and the next program starts', async () => {
  const child = await inShell('echo $PPID; sleep 60');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const ended = once(child, 'close');

  process.kill(Number(said.toString()), 'SIGKILL');

  expect(await ended).toEqual([null, 'SIGKILL']);
  const next = await inShell('exit 4');
  expect(await once(next, 'close')).toEqual([4, null]);
});

test('the starter ends with the process that it starts for, however that ends, and holds nobody up', async () => {
  const script = `
    import { startBeside } from '${fileURLToPath(new URL('starter.ts', import.meta.url))}';
    const child = await startBeside({ file: '/bin/sh', args: ['-c', 'echo $PPID; read word'], cwd: '/', env: {}, inputs: [], hasChannel: false });
    child.stdout.pipe(process.stdout);
    process.stdin.once('data', () => child.stdin.end()).unref();`;
  const start = () =>
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [killed, well] = [start(), start()];
  const starters = await Promise.all(
    [killed, well].map(async ({ stdout }) =>
      Number(((await once(stdout, 'data')) as [Buffer])[0].toString()),
    ),
  );

  killed.kill('SIGKILL');
  well.stdin.write('over');

  expect(await once(well, 'close')).toEqual([0, null]);
  for (const pid of starters)
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), 10_000);
});
