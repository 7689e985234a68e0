/** Real programs, that try what they must not. Where this host allows no sandbox, the reason is told. */
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';

import { kernelForbids } from '../tests/support/reporter.ts';
import { systemCallFilter } from './sandbox-filter.ts';
import {
  filesOf,
  hostPrograms,
  makers,
  startConfined,
  viewOf,
  wayTo,
  whyNoSandbox,
  type KernelLimits,
  type Mount,
  type Program,
} from './sandbox.ts';

const limits: KernelLimits = { memoryBytes: 400_000_000, cpuSeconds: 10 };

interface Options {
  readonly mounts?: readonly Mount[];
  readonly network?: boolean;
  readonly limits?: KernelLimits;
  readonly env?: Readonly<Record<string, string>>;
}

/** A script of the host's shell, with all programs of the host and nothing else. */
async function inShell(
  how: Pick<Program, 'maker' | 'asNobody'>,
  script: string,
  { mounts = [], network = false, env = {}, ...more }: Options = {},
) {
  const all = hostPrograms();
  const child = await startConfined({
    file: '/bin/sh',
    args: ['-c', script],
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', ...env },
    limits: more.limits ?? limits,
    ...how,
    view: { mounts: [...all.mounts, ...mounts], links: all.links, network },
  });
  child.stdin.end();
  const [[code], said, errors] = await Promise.all([
    once(child, 'close'),
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code: code as number | null, said: said.trim(), errors };
}

function folder(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla-sandbox-')));
  chmodSync(path, 0o777); // also for nobody
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const ways = await Promise.all(
  makers.flatMap((maker) =>
    [{ maker }, { maker, asNobody: true as const }].map(async (how) => ({
      how,
      reason: await whyNoSandbox(how),
    })),
  ),
);

describe.each(ways)('A program in a sandbox by $how.maker, as nobody: $how.asNobody', ({ how, reason }) => {
  const shell = async (script: string, options?: Options) => inShell(how, script, options);
  beforeEach((context) => {
    if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);
  });

  test('sees what is mounted and nothing else', async () => {
    const own = folder();
    writeFileSync(join(own, 'a'), 'mine');
    const outside = folder();
    writeFileSync(join(outside, 'b'), 'secret');

    const { said } = await shell(
      `cat ${own}/a; ls ${tmpdir()}; ls -A / | tr '\\n' ' '; cat ${outside}/b 2>&1`,
      {
        mounts: [{ path: own }],
      },
    );

    expect(said).toContain('mine');
    expect(said).toMatch(/No such file/);
    expect(said).not.toMatch(/secret|home|root|var|proc|sys|\bwork\b/);
  });

  test('writes where it may, and nowhere else', async () => {
    const [mine, theirs] = [folder(), folder()];

    const { said, errors } = await shell(
      `echo x > ${mine}/new; echo x > ${theirs}/new; echo x > /usr/new; echo x > /new; ls ${mine}`,
      { mounts: [{ path: mine, writable: true }, { path: theirs }] },
    );

    expect(said).toBe('new');
    expect(errors.match(/Read-only file system/g)).toHaveLength(3);
    expect(readFileSync(join(mine, 'new'), 'utf8')).toBe('x\n');
  });

  test('has the environment that it was given, and the sandbox around it has none', async () => {
    const { said } = await shell('env', { env: { GREETING: 'hello' } });

    expect(said.split('\n').toSorted()).toEqual(['GREETING=hello', 'PATH=/usr/bin:/bin', 'PWD=/']);
  });

  test('has no network unless it is asked for', async () => {
    const server = createServer((socket) => socket.end('answer'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const perl = `use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:${port}") or die "refused: $!"; print <$s>`;

    expect(await shell(`perl -e '${perl}'`)).toMatchObject({
      said: '',
      errors: expect.stringContaining('Operation not permitted') as string,
    });
    expect(await shell(`perl -e '${perl}'`, { network: true })).toMatchObject({ said: 'answer' });
  });

  test('has no sockets of files either', async () => {
    const own = folder();
    const server = createServer();
    server.listen(join(own, 'socket'));
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const perl = `use IO::Socket::UNIX; IO::Socket::UNIX->new(Peer => "${own}/socket") or die "refused: $!"`;

    const { errors } = await shell(`perl -e '${perl}'`, { mounts: [{ path: own, writable: true }] });

    expect(errors).toContain('Operation not permitted');
  });

  test('makes no namespaces and no mounts, and sees no other process', async () => {
    const { said, errors } = await shell(
      'unshare --user true; unshare --mount true; mount -t tmpfs none /usr; echo $$; kill -0 1 && echo init',
    );

    expect(errors.match(/not permitted|failed|must be superuser/gi)?.length).toBeGreaterThanOrEqual(3);
    // Numbers begin anew: this is one of the first processes of its world.
    expect(Number(said.split('\n')[0])).toBeLessThan(10);
  });

  test('ends at its limits of memory, processor time and processes', async () => {
    const perl = (script: string) => `perl -e '${script}'`;

    const memory = await shell(perl('my $x = "x" x 900_000_000; print "had it"'));
    expect(memory).toMatchObject({ said: '', errors: expect.stringMatching(/Out of memory/i) as string });
    const time = await shell(perl('1 while 1'), { limits: { ...limits, cpuSeconds: 1 } });
    expect(time.code).toBe(128 + 24);
    if (process.getuid?.() === 0 && !how.asNobody) return;
    const processes = await shell(
      perl('for (1..50) { defined(my $p = fork) or die "no more"; $p or sleep 5 }'),
      {
        limits: { ...limits, processes: 20 },
      },
    );
    expect(processes.errors).toContain('no more');
  });

  test('ends with the process that leads its group', async () => {
    const own = folder();
    const all = hostPrograms();
    const child = await startConfined({
      file: '/bin/sh',
      args: ['-c', `(while :; do date +%N >> ${own}/beat; done) & echo begun; wait`],
      cwd: '/',
      env: { PATH: '/usr/bin' },
      limits,
      ...how,
      view: { mounts: [...all.mounts, { path: own, writable: true }], links: all.links, network: false },
    });
    await once(child.stdout, 'data');
    await vi.waitFor(() => expect(readFileSync(join(own, 'beat'), 'utf8')).not.toBe(''));

    child.kill('SIGKILL');
    await once(child, 'close');

    const last = readFileSync(join(own, 'beat'), 'utf8');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(readFileSync(join(own, 'beat'), 'utf8')).toBe(last);
  });

  test('takes no more files than it is linked with', async () => {
    const file = '/usr/bin/env';
    const view = { ...filesOf(file), network: false };
    const child = await startConfined({
      file,
      args: ['sh', '-c', 'true'],
      cwd: '/',
      env: { PATH: '/bin' },
      limits,
      view,
      ...how,
    });
    child.stdin.end();

    const [[code], errors] = await Promise.all([once(child, 'close'), text(child.stderr)]);

    expect({ code, errors }).toMatchObject({
      code: 127,
      errors: expect.stringContaining('No such file') as string,
    });
  });

  test('mounts within mounts keep their own rules, whatever their order', async () => {
    const outer = folder();
    mkdirSync(join(outer, 'inner/deep'), { recursive: true });
    const paths = [outer, join(outer, 'inner'), join(outer, 'inner/deep')];
    for (const path of paths) chmodSync(path, 0o777);
    const mounts = paths.map((path, index) => ({ path, writable: index === 1 }));

    const { said } = await shell(`for f in ${paths.join(' ')}; do touch $f/x 2>/dev/null && echo $f; done`, {
      mounts: mounts.toReversed(),
    });

    expect(said).toBe(join(outer, 'inner'));
  });
});

test('without a sandbox the limits hold all the same', async () => {
  const child = await startConfined({
    file: '/usr/bin/perl',
    args: ['-e', 'my $x = "x" x 900_000_000; print "had it"'],
    cwd: '/',
    env: {},
    limits,
    view: undefined,
  });
  child.stdin.end();

  const [said, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);

  expect({ said, errors }).toMatchObject({
    said: '',
    errors: expect.stringMatching(/Out of memory/i) as string,
  });
});

test('the way to a path is what it leads to, and the links on it', () => {
  const own = folder();
  mkdirSync(join(own, 'real/deep'), { recursive: true });
  symlinkSync('real', join(own, 'link'));
  symlinkSync('../link/deep/..', join(own, 'real/again'));

  const { real, links } = wayTo(join(own, 'link/again/deep'));

  expect(real).toBe(join(own, 'real/deep'));
  expect([...links]).toEqual([
    [join(own, 'link'), 'real'],
    [join(own, 'real/again'), '../link/deep/..'],
  ]);
  symlinkSync('loop', join(own, 'loop'));
  expect(() => wayTo(join(own, 'loop'))).toThrow(/links/);
  expect(viewOf([join(own, 'missing')]).mounts).toEqual([]);
});

test('a script is no program for a sandbox of its own', () => {
  const own = folder();
  writeFileSync(join(own, 'script'), '#!/bin/sh\n', { mode: 0o755 });

  expect(() => filesOf(join(own, 'script'))).toThrow(/No sandbox/);
});

test('a filter is made for the processors that are known, and its jumps stay inside', () => {
  expect(systemCallFilter(false, 'riscv64')).toBeUndefined();
  for (const processor of ['x64', 'arm64']) {
    for (const network of [false, true]) {
      const program = systemCallFilter(network, processor) ?? Buffer.of();
      const count = program.length / 8;
      expect(count).toBeGreaterThan(50);
      for (let index = 0; index < count; index += 1) {
        const jump = Math.max(program.readUInt8(8 * index + 2), program.readUInt8(8 * index + 3));
        expect(index + jump + 1).toBeLessThan(count + 1);
      }
    }
  }
});
