/**
 * Code that tries to leave its sandbox, or to take more than it may, against each way to make one. Those that are harmless
 * are tried without a sandbox too, where they succeed: so they are real.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { makers, whyNoSandbox } from '#runtime/sandbox.ts';

import { kernelForbids } from '../../tests/support/reporter.ts';
import { isWhole } from '../../tests/support/trials.ts';
import { newSession, openForTest, told, valueOf } from './python.fixture.ts';
import type { Python } from './python.ts';

const secret = 'SECRET-of-the-server-9c1f';
/** Of the user of the service, with its secret in its environment. */
const victim = spawn('sleep', ['600'], { env: { FLOTILLA_TEST_SECRET: secret } });

const server = createServer((socket) => socket.on('error', () => {}).end('answer'));
let port = 0;
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => {
  server.close();
  victim.kill();
});

/** Each lists what it reached: nothing in a sandbox, something without. */
const reaching: readonly (readonly [title: string, code: () => string])[] = [
  [
    'files of the host',
    () => `
import os
[path for path in ("/etc/passwd", "/etc/hostname", "/proc/self/status", "/sys/kernel", "/root", "/home", "/var") if os.path.exists(path)]`,
  ],
  [
    'the environment of any process',
    () => `
import glob, os
found = [name for name in os.environ if "FLOTILLA" in name]
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        found += [path] if b"${secret}" in open(path, "rb").read() else []
    except OSError:
        pass
found`,
  ],
  [
    'the first process of the host',
    () => `
import os
[path for path in ("/proc/1/cmdline", "/proc/1/status") if os.path.exists(path)]`,
  ],
  [
    'a server on loopback',
    () => `
import socket
found = []
for port in (${port}, *range(4321, 4338)):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        found.append(port)
    except PermissionError:
        pass
    except OSError as error:
        found += [] if error.errno == 111 and port != ${port} else [str(error)]
found`,
  ],
  [
    'a socket of another process by its path, or one of datagrams',
    () => `
import socket
found = []
for family, kind in ((socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET6, socket.SOCK_DGRAM), (16, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind).close()
        found.append(str(family))
    except OSError:
        pass
found`,
  ],
  [
    'a user namespace of its own, and tracing',
    () => `
import ctypes
libc = ctypes.CDLL(None)
[name for name, said in (("traceme", libc.ptrace(0, 0, 0, 0)), ("unshare", libc.unshare(0x10000000))) if said == 0]`,
  ],
  [
    'memory that no limit counts',
    () => `
import ctypes, os, socket
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_long
libc.mmap.argtypes = [ctypes.c_long] * 6
found = [name for name, said in (("memfd", libc.memfd_create(b"x", 0)), ("shm", libc.shmget(0, 4096, 0o1600))) if said >= 0]
# Without a file, it is there also where no process has it mapped.
for kind in (0x21, 0x23):
    found += ["shared"] if libc.mmap(0, 4096, 3, kind, -1, 0) != -1 else []
# Pages that only a pipe holds.
data = ctypes.create_string_buffer(8192)
class Piece(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
found += ["vmsplice"] if libc.vmsplice(os.pipe()[1], ctypes.byref(Piece(ctypes.addressof(data), 4096)), 1, 0) > 0 else []
try:
    socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10 ** 6)
    found.append("buffers")
except PermissionError:
    pass
found`,
  ],
  [
    'what belongs to its user, of whom all sandboxes have one',
    () => `
import ctypes, fcntl, os, platform
libc = ctypes.CDLL(None)
one = 1 if platform.machine() == "x86_64" else 0
calls = {"semget": (190, 64), "msgget": (186, 68), "mq_open": (180, 240), "inotify": (26, 294), "fanotify": (262, 300)}
given = {"semget": (0, 1, 0o1600), "msgget": (0, 0o1600), "mq_open": (b"flotilla-test", 0o102, 0o600, None), "inotify": (0,), "fanotify": (0x200, 0)}
found = [name for name, numbers in calls.items() if libc.syscall(numbers[one], *given[name]) >= 0]
try:
    fcntl.fcntl(os.pipe()[1], 1031, 4096)
    found.append("pipe")
except PermissionError:
    pass
found`,
  ],
  [
    'processes beside it',
    () => `
import os
found = []
for pid in (${process.pid}, ${victim.pid}, os.getppid()):
    try:
        os.kill(pid, 0)
        found += [pid] if pid > 1 else []
    except OSError:
        pass
found`,
  ],
];

/** Of the host's processes, those that were started with this word. */
function startedWith(word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word) && pid !== process.pid;
      } catch {
        return false;
      }
    });
}

/** Started by this one, and by those: their numbers, their parents' and their names. */
function ownProcesses(): string[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,ppid=,comm='], { encoding: 'utf8' }).split('\n');
  const numbersIn = (line: string) => line.trim().split(/\s+/).map(Number);
  const below = (pid: number): string[] =>
    lines
      .filter((line) => numbersIn(line)[1] === pid)
      .flatMap((line) => [line, ...below(numbersIn(line)[0] ?? 0)]);
  return below(process.pid);
}

/** Leaves a process behind that has no parent here, leads a session of its own, and does not listen. */
const daemon = (word: string) => `
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.execv("/bin/sh", ["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done", "${word}"])
    os._exit(0)
os.wait()
time.sleep(0.2)
"left"`;

interface Ran {
  readonly status: string;
  readonly error: string;
  readonly output: readonly string[];
  readonly truncated?: true;
  readonly limits: readonly string[];
  readonly not_kept: readonly string[];
  readonly changed_files: readonly string[];
}

const ways = await Promise.all(
  // runtime/sandbox.test.ts tries both; the second one is tried here with npm run test:faults.
  (isWhole ? makers : makers.slice(0, 1)).map(async (maker) => ({
    maker,
    reason: await whyNoSandbox({ maker, asNobody: true }),
  })),
);

describe.concurrent.each(ways)('In a sandbox by $maker, code', ({ maker, reason }) => {
  let python: Python;
  beforeAll(() => {
    python = openForTest({ maker });
  });
  afterAll(async () => python[Symbol.asyncDispose]());
  beforeEach((context) => {
    if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);
  });
  const run = async (code: string, args: object = {}): Promise<Ran> =>
    (await told(python, 'run_python_code', { python_code: code, ...args })).value as Ran;

  test.each(reaching)('does not reach %s', async (_title, code) => {
    expect(await valueOf(python, code())).toEqual([]);
  });

  test('sees nothing of the host but its programs, and changes none of it', async () => {
    const names = await valueOf(python, 'import os\nsorted(os.listdir("/"))');
    expect(names).toEqual(expect.arrayContaining(['dev', 'session', 'tmp', 'usr']) as string[]);
    expect(names).not.toEqual(expect.arrayContaining(['root']));
    for (const path of ['/usr/x', '/x', '/etc/x', '/dev/x']) {
      const { error } = await run(`open("${path}", "w")`);
      expect(error).toMatch(/Read-only file system|Permission denied/);
    }
  });

  test('speaks to nobody outside, and asks no name server', async () => {
    const code = `
import socket
said = []
for address in (("169.254.169.254", 80), ("10.0.0.1", 53)):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            socket.socket(socket.AF_INET, kind).connect(address)
            said.append("connected")
        except OSError as error:
            said.append(error.errno)
try:
    socket.getaddrinfo("example.com", 80)
    said.append("resolved")
except OSError:
    pass
said`;

    expect(await valueOf(python, code)).toEqual([1, 1, 1, 1]);
  });

  test('has no open file but its own: nothing and its output', async () => {
    const code = `
import os
found = []
for number in range(64):
    try:
        os.fstat(number)
        found.append(number)
    except OSError:
        pass
found`;

    expect(await valueOf(python, code)).toEqual([0, 1, 2]);
  });

  test('cannot mount, enter other roots, or use keys', async () => {
    const code = `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = [("mount", b"none", b"/session", b"tmpfs", 0, 0), ("chroot", b"/session"), ("umount2", b"/usr", 2)]
[getattr(libc, name)(*given) for name, *given in calls] + [libc.syscall(250, 0, 0), libc.syscall(425, 1, 0)]`;

    expect(await valueOf(python, code)).toEqual([-1, -1, -1, -1, -1]);
  });

  test('may end its own first process and all others, and harms nobody', async () => {
    const session = { session_id: await newSession(python) };

    expect(
      await valueOf(
        python,
        'import os\nkept = 1\nfor pid in (1, -1):\n  try:\n    os.kill(pid, 9)\n  except OSError: pass\n"there"',
        session,
      ),
    ).toBe('there');
    expect(await valueOf(python, 'kept', session)).toBe(1);
  });

  test('forks until it may not, and is ended when it goes on', async () => {
    const { error, status } = await run(
      'import os\nwhile True:\n  try:\n    os.fork()\n  except OSError:\n    pass',
      {
        timeout_ms: 1_000,
      },
    );

    expect(status).toBe('run-error');
    expect(error).toContain('timeout_ms');
    expect(await valueOf(python, '1 + 1')).toBe(2);
  });

  test('that never ends is interrupted, also when it does not listen', async () => {
    const { error } = await run(
      'import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass',
      {
        timeout_ms: 1_000,
      },
    );

    expect(error).toMatch(/ended \(SIGKILL|code 137\).*timeout_ms, 1000 ms/s);
  });

  test('gets no 10 GB of memory, of whatever kind', async () => {
    expect((await run('bytearray(10 * 10 ** 9)')).error).toContain('MemoryError');
    const shared = 'import mmap\nm = mmap.mmap(-1, 10 ** 10)\nfor at in range(0, 10 ** 10, 4096): m[at] = 1';
    expect((await run(shared)).error).toContain('Cannot allocate memory');
    const together = `
import os, time
for _ in range(6):
    if os.fork() == 0:
        kept = b"x" * 60_000_000
        time.sleep(20)
time.sleep(20)`;
    expect((await run(together)).limits).toEqual([expect.stringContaining('memoryBytes')]);
  });

  test('gets no memory of the kernel beyond its own', async () => {
    const tables = `
import ctypes, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_long
libc.mmap.argtypes = [ctypes.c_long] * 6
for _ in range(64):
    start = libc.mmap(0, 1 << 38, 1, 0x4022, -1, 0)
    for at in range(start, start + (1 << 38), 1 << 21):
        ctypes.string_at(at, 1)
time.sleep(1)`;
    expect((await run(tables)).limits).toEqual([expect.stringContaining('memoryBytes')]);
    const sockets = `
import os, socket, time
for _ in range(6):
    if os.fork() == 0:
        kept = [socket.socketpair() for _ in range(110)]
        for pair in kept:
            for one in pair:
                one.setblocking(False)
                try:
                    while True: one.send(bytes(65536))
                except BlockingIOError:
                    pass
        time.sleep(20)
time.sleep(20)`;
    expect((await run(sockets)).limits).toEqual([expect.stringContaining('memoryBytes')]);
    const hidden = `
import os, time
number = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR)
for _ in range(400): os.write(number, bytes(10 ** 6))`;
    expect((await run(hidden)).error).toMatch(/No space left|memoryBytes/);
  });

  test('shares memory between its processes, as much as it may have', async () => {
    const code = `
import mmap, multiprocessing, os
from multiprocessing import shared_memory
m = mmap.mmap(-1, 50_000_000)
m[49_999_999] = 7
if os.fork() == 0:
    m[0] = 5
    os._exit(0)
os.wait()
private = mmap.mmap(-1, 4096, access=mmap.ACCESS_COPY)
flagged = mmap.mmap(-1, 4096, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
one = shared_memory.SharedMemory(create=True, size=1_000_000)
value = multiprocessing.get_context("fork").Value("i", 3)
def add(): value.value += 1
worker = multiprocessing.get_context("fork").Process(target=add)
worker.start()
worker.join()
seen = [m[0], m[49_999_999], len(private), len(flagged), isinstance(m, mmap.mmap), len(one.buf), value.value]
one.close()
one.unlink()
seen`;

    expect(await valueOf(python, code)).toEqual([5, 7, 4096, 4096, true, 1_000_000, 4]);
  });

  test('writes no 10 GB, in one file or in many', async () => {
    const one = 'with open("big", "wb") as file:\n  for _ in range(10_000): file.write(bytes(10 ** 6))';
    expect((await run(one)).error).toMatch(/File too large|No space left/);
    const many = 'for n in range(10_000):\n  with open(f"big{n}", "wb") as file: file.write(bytes(10 ** 6))';
    expect((await run(many)).error).toMatch(/No space left/);
    const elsewhere =
      'import tempfile\nfor n in range(10_000): tempfile.mkstemp()[0].bit_length() and open(tempfile.mkstemp()[1], "wb").write(bytes(10 ** 6))';
    expect((await run(elsewhere)).error).toMatch(/No space left|Too many open files/);
    const empty = 'import os\nfor n in range(10 ** 7): os.close(os.open(f"n{n}", os.O_CREAT))';
    expect((await run(empty)).limits).toEqual([expect.stringContaining('diskBytes')]);
  });

  test('prints without end, and the beginning and the end are shown', async () => {
    const {
      output,
      truncated,
      limits: passed,
      status,
    } = await run('for n in range(10 ** 8): print(n, "x" * 50_000)', {
      timeout_ms: 1_000,
    });

    expect({ status, truncated }).toEqual({ status: 'run-error', truncated: true });
    expect(output[0]).toMatch(/^0 x{1000}/);
    expect(output.join('\n').length).toBeLessThan(40_000);
    expect(output.join('\n')).toMatch(/bytes are left out here/);
    expect(passed).toEqual([expect.stringMatching(/outputBytes: \d+ of 100000; it went on/)]);
  });

  test('recurses without end, in Python and below it', async () => {
    expect((await run('def f(): f()\nf()')).error).toContain('RecursionError');
    const below =
      'import sys\nsys.setrecursionlimit(10 ** 9)\nclass A:\n  def __repr__(self): return repr(self)\nrepr(A())';
    expect((await run(below)).status).toBe('run-error');
  });

  test.each(['alone', 'in a session'])('leaves no process behind, %s', async (where) => {
    const word = `daemon-${maker}-${where.replaceAll(' ', '-')}-${process.pid}`;
    const session = where === 'alone' ? {} : { session_id: await newSession(python) };

    expect(await valueOf(python, daemon(word), session)).toBe('left');

    expect(startedWith(word)).toEqual([]);
  });

  test('stands still between the runs of its session', async () => {
    const session = { session_id: await newSession(python) };
    const code = `
import threading, time
beats = []
def beat():
    while True:
        beats.append(time.monotonic())
        time.sleep(0.001)
threading.Thread(target=beat).start()
time.sleep(0.1)
len(beats) > 0`;
    expect(await valueOf(python, code, session)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 400));

    const gap = 'time.sleep(0.1)\nmax(after - before for before, after in zip(beats, beats[1:]))';
    expect(await valueOf(python, gap, session)).toBeGreaterThan(0.35);
  });

  test('finds nothing of another session, nor of the service', async () => {
    const theirs = { session_id: await newSession(python) };
    await run(`open("a.txt", "w").write("${secret}"); hidden = "${secret}"`, theirs);
    const mine = { session_id: await newSession(python) };
    const code = `
import gc, os
found = []
for top in ("/session", "/tmp", "/dev/shm", "/etc", "/dev"):
    for at, _, names in os.walk(top):
        for name in names:
            path = os.path.join(at, name)
            try:
                found += [path] if os.path.isfile(path) and b"SECRET" + b"-of-the" in open(path, "rb").read() else []
            except OSError:
                pass
found + [name for name in globals() if name == "hidden"]`;

    expect(await valueOf(python, code, mine)).toEqual([]);
  });

  test('makes links that lead out, which nobody follows', async () => {
    const session = { session_id: await newSession(python) };
    const { not_kept: left, changed_files: kept } = await run(
      'import os\nos.symlink("/etc/passwd", "link")\nos.symlink("/", "root")\nos.mkfifo("pipe")\nopen("real", "w").write("x")',
      session,
    );

    expect({ left: left.toSorted(), kept }).toEqual({ left: ['link', 'pipe', 'root'], kept: ['real'] });
    await expect(told(python, 'read_python_file', { ...session, path: 'link' })).rejects.toThrow(
      /no such file/,
    );
    await told(python, 'write_python_file', { ...session, path: 'link', content: 'mine' });
    expect(await valueOf(python, 'open("link").read()', session)).toBe('mine');
  });

  test('may talk to the service in its own words, and is believed nothing', async () => {
    const forged = `
import json, os
def say(head, data=b""):
    text = json.dumps({**head, "bytes": len(data)}).encode()
    os.write(259, len(text).to_bytes(4, "big") + text + data)
for path in ("../up", "/etc/x", "a/../../b", "", ".tmp/x"):
    say({"is": "file", "path": path})
    say({"is": "part"}, b"stolen")
say({"is": "gone", "paths": ["../up", 7, None]})
say({"is": "image"}, b"no png")
"done"`;
    const session = { session_id: await newSession(python) };

    expect(await valueOf(python, forged, session)).toBe('done');
    expect((await told(python, 'list_python_files', session)).value).toEqual({ files: [] });
    for (const bytes of [
      'b"\\xff" * 100',
      'b"\\x00\\x00\\x00\\x02hi"',
      'b"\\x00\\x00\\x00\\x0f{\\"bytes\\": 1e99}"',
    ]) {
      const { status } = await run(`import os, time\nos.write(259, ${bytes})\ntime.sleep(5)`, session);
      expect(status).toBe('run-error');
    }
    const many = 'import os\nfor _ in range(10 ** 7): os.write(259, b"\\x00\\x00\\x00\\x02{}")';
    expect((await run(many, session)).error).toMatch(/ended \((?:SIGKILL|code 137)/);
    expect(await valueOf(python, '1', session)).toBe(1);
  });

  test('has a sandbox around it whose own processes have no environment', async () => {
    const running = told(python, 'run_python_code', {
      python_code: 'import time\ntime.sleep(30)',
      timeout_ms: 1_500,
    });
    let seen: string[] = [];
    for (let tries = 0; tries < 100 && seen.length < 2; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      seen = ownProcesses().filter((line) => /\b(?:bwrap|unshare|sandbox)$/.test(line));
    }
    const environments = seen.map((line) => {
      try {
        return readFileSync(`/proc/${line.trim().split(/\s+/)[0]}/environ`, 'utf8');
      } catch {
        return '';
      }
    });
    await running;

    expect(seen.length).toBeGreaterThanOrEqual(2);
    expect(environments.join('')).not.toContain(secret);
    expect(environments.join('')).toBe('');
  });
});

describe('Without a sandbox, the same code', () => {
  let python: Python;
  beforeAll(() => {
    python = openForTest({ level: 'none' });
  });
  afterAll(async () => python[Symbol.asyncDispose]());

  test.each(reaching)('reaches %s', async (_title, code) => {
    expect(await valueOf(python, code())).not.toEqual([]);
  });

  // It is seen in time to be ended, now and then.
  test('leaves a process behind', { retry: 3 }, async () => {
    const word = `daemon-none-${process.pid}`;

    await valueOf(python, daemon(word));

    const left = startedWith(word);
    for (const pid of left) process.kill(pid, 'SIGKILL');
    expect(left).not.toEqual([]);
  });
});
