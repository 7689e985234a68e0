/** What a run does to its interpreter, and how the next one goes on: with real interpreters. */
import { afterAll, beforeEach, describe, expect, test } from 'vitest';

import { quotaOf } from '#runtime/quotas.ts';
import { whyNoSandbox } from '#runtime/sandbox.ts';

import { kernelForbids } from '../../tests/support/reporter.ts';
import { newSession, openForTest, told, valueOf } from './python.fixture.ts';

const reason = await whyNoSandbox({ asNobody: true });
const python = openForTest({}, ':memory:', quotaOf(50, 200));
afterAll(async () => python[Symbol.asyncDispose]());
beforeEach((context) => {
  if (reason !== undefined) context.skip(`${kernelForbids}${reason}`);
});

const ran = async (code: string, args: object = {}) =>
  (await told(python, 'run_python_code', { python_code: code, ...args })).value;

describe.concurrent('After a run of a session that', () => {
  test.each([
    ['closes its output', 'import os\nos.close(1)\nos.close(2)', /descriptor 1, descriptor 2/],
    [
      'leads its output elsewhere',
      'import os\nos.dup2(os.open("a", os.O_CREAT | os.O_RDWR), 1)',
      /descriptor 1/,
    ],
    ['closes sys.stdout', 'import sys\nsys.stdout.close()\nsys.stderr.close()', /sys\.stdout, sys\.stderr/],
    ['takes sys.stdout apart', 'import sys\nraw = sys.stdout.detach()', /sys\.stdout/],
    [
      'replaces sys.stdout',
      'import io, sys\nsys.stdout = io.StringIO()\nsys.stderr = None',
      /sys\.stdout, sys\.stderr/,
    ],
    ['closes all that it can', 'import os\nos.closerange(0, 256)', /descriptor 1/],
    ['deletes sys.stdout', 'import sys\ndel sys.stdout', /sys\.stdout/],
    [
      'leaves a timer',
      // A second, so that it cannot fire before the code is at its end; the test below has shorter ones.
      'import signal\nsignal.signal(signal.SIGALRM, lambda *_: 1 / 0)\nsignal.setitimer(signal.ITIMER_REAL, 1, 0.001)',
      /timer/,
    ],
    ['leaves a timer that ends it', 'import signal\nsignal.alarm(1)', /timer/],
    [
      'goes elsewhere',
      'import os\nos.chdir("/tmp")\nopen("lost", "w").write("x")',
      /current folder is \/session\/\.tmp/,
    ],
    ['removes its folder', 'import os, shutil\nos.mkdir("d")\nos.chdir("d")\nos.rmdir("../d")', /removed/],
    [
      'leaves a thread',
      'import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name="waits").start()',
      /Threads still run: waits/,
    ],
    ['leaves a process', 'import os, time\nif os.fork() == 0: time.sleep(60)', /ended with it: 1\./],
    [
      'leaves a pool',
      'import multiprocessing\npool = multiprocessing.get_context("fork").Pool(2)\npool.map(abs, [-1])',
      /pool of multiprocessing was ended/,
    ],
  ])('%s, the next one works, and the answer says what was lost', async (_title, code, note) => {
    const session = { session_id: await newSession(python) };

    const first = await ran(`kept = 5\n${code}`, session);
    const next = await ran('import os\nprint("out", flush=True)\nos.system("echo below")\nkept', session);

    expect(first['error']).toBeUndefined();
    expect(first['notes'].join('\n')).toMatch(note);
    expect(next).toMatchObject({ status: 'success', output: ['out', 'below'], return_value: '5' });
    expect(next['restarted']).toBeUndefined();
  });

  test('leaves a timer whose handler fails at any moment, it is never the runner that fails', async () => {
    const session = { session_id: await newSession(python) };
    // Also where the first call of it ends the code, and the next ones find the runner telling of that.
    const timer = (firstUs: number) => `
import signal
signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
signal.setitimer(signal.ITIMER_REAL, ${firstUs}e-6, 1e-5)
${firstUs % 2 === 0 ? 'while True: pass' : ''}`;

    const answers = [];
    for (let times = 0; times < 100; times += 1)
      answers.push(await ran(timer(2 * times + 1 + (times % 2)), session));

    for (const { error, restarted } of answers) {
      expect(error ?? 'in _, ZeroDivisionError').toMatch(/in .*ZeroDivisionError/s);
      expect(restarted).toBeUndefined();
    }
    expect((await ran('1 + 1', session))['error']).toBeUndefined();
  });

  test.each([
    ['ignores interrupts', 'import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})'],
    [
      'has a handler that raises',
      'import os, signal\nsignal.signal(signal.SIGCHLD, lambda *_: 1 / 0)\nif os.fork() == 0:\n  import time\n  time.sleep(60)',
    ],
    ['traces itself', 'import sys\nsys.settrace(lambda *_: 1 / 0)'],
    ['has a profile that raises', 'import sys\ndef raises(*_): raise ValueError\nsys.setprofile(raises)'],
    ['allows no depth', 'import sys\nsys.setrecursionlimit(12)'],
    [
      'has modules of the names of Python’s own',
      'for name in ("traceback", "linecache", "asyncio", "atexit"): open(name + ".py", "w").write("1 / 0")',
    ],
    ['exits', 'import sys\nsys.exit()'],
    ['quits', 'quit()'],
    [
      'opens all the files that it may',
      'left = []\ntry:\n  while True: left.append(open("/dev/null"))\nexcept OSError: pass',
    ],
  ])('%s, the next one can be interrupted, and fails as usual', async (_title, code) => {
    const session = { session_id: await newSession(python) };
    expect(await ran(`kept = 5\n${code}`, session)).toMatchObject({});

    const slow = await ran('import time\ntime.sleep(60)', { ...session, timeout_ms: 300 });
    expect(slow['error']).toMatch(/KeyboardInterrupt\n.*timeout_ms, 300 ms/);
    expect(
      (
        await ran(
          // Of Python's own modules, one that is not loaded yet, where there may be files for it.
          code.includes('OSError') ? 'nothing' : 'await nothing',
          session,
        )
      )['error'],
    ).toMatch(/line 1, in <module>.*NameError: name 'nothing'/s);
    expect(await valueOf(python, 'kept', session)).toBe(5);
  });

  test('sets a handler, it is there in the next one, and nowhere in between', async () => {
    const session = { session_id: await newSession(python) };
    await ran(
      'import os, signal\nseen = []\nsignal.signal(signal.SIGUSR1, lambda *_: seen.append(1))',
      session,
    );

    expect(await valueOf(python, 'os.kill(os.getpid(), signal.SIGUSR1)\nseen', session)).toEqual([1]);
  });

  test('waits for none of its children, it can start others for ever', async () => {
    const session = { session_id: await newSession(python) };
    const code = 'import os, time\nfor _ in range(15):\n  if os.fork() == 0: time.sleep(60)';
    for (let round = 0; round < 5; round += 1) expect((await ran(code, session))['error']).toBeUndefined();

    const later =
      'import subprocess\nold = subprocess.Popen(["sleep", "60"])\nsubprocess.run(["echo", "x"], capture_output=True, text=True).stdout';
    expect(await valueOf(python, later, session)).toBe('x\n');
    expect(await valueOf(python, 'old.poll()', session)).toBe(-9);
  });

  test('takes away what the runner needs, the answer says how to go on', async () => {
    const session = { session_id: await newSession(python) };
    const { error } = await ran(
      'import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n1 / 0',
      session,
    );

    expect(error).toMatch(/The runner failed: .*Too many open files.*reset_python_session/);
    await told(python, 'reset_python_session', session);
    expect(await valueOf(python, '1', session)).toBe(1);
  });

  test('closes the socket to the service, the answer says what is lost and how to go on', async () => {
    const session = { session_id: await newSession(python) };
    await ran('open("a", "w").write("kept")', session);

    const { error, notes } = await ran('import os\nos.closerange(0, 1000)', session);

    expect(error).toMatch(/code 97.*closed or replaced the pipe/);
    expect(notes).toEqual([expect.stringContaining('The variables of the session are lost')]);
    expect(await valueOf(python, 'open("a").read()', session)).toBe('kept');
  });

  test('writes a file again with the same size and time, it is kept', async () => {
    const session = { session_id: await newSession(python) };
    const write = (word: string) => `
import os
with open("a", "r+" if os.path.exists("a") else "w") as file: file.write("${word}")
os.utime("a", (1, 1))`;
    await ran(write('one'), session);
    for (const word of ['two', 'six']) {
      expect(await ran(write(word), session)).toMatchObject({ changed_files: ['a'] });
      const { value } = await told(python, 'read_python_file', { ...session, path: 'a' });
      expect(value['content']).toBe(word);
    }
    await ran('import time\ntime.sleep(0.05)', session);
    expect((await ran('1', session))['changed_files']).toBeUndefined();
  });

  test('writes into a file by its mapping, it is kept', async () => {
    const session = { session_id: await newSession(python) };
    const open =
      'import mmap, time\nopen("a", "wb").write(b"one")\nfile = open("a", "r+b")\nm = mmap.mmap(file.fileno(), 3)\ntime.sleep(0.05)';
    await ran(open, session);

    expect(await ran('m[:] = b"two"', session)).toMatchObject({ changed_files: ['a'] });
    expect((await ran('1', session))['changed_files']).toBeUndefined();
  });
});

describe.concurrent('A run alone', () => {
  test('ends as a script does: exit functions run, and sys.exit says how', async () => {
    expect(await ran('import atexit, sys\natexit.register(print, "bye")\nsys.exit(0)')).toMatchObject({
      status: 'success',
    });
    expect(await ran('import atexit\natexit.register(print, "bye")\n5')).toMatchObject({
      output: ['bye'],
      return_value: '5',
    });
    expect(await ran('exit("no")')).toMatchObject({
      error: expect.stringContaining('SystemExit: no') as string,
    });
    expect(
      await ran('import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()'),
    ).toMatchObject({ notes: [expect.stringContaining('join()')] });
  });

  test.each([
    ['help(len)', /Return the number of items/],
    ['copyright', /Copyright \(c\)/],
    ['license', /psf\/license/],
    ['print(credits)', /www\.python\.org/],
    ['exit', /Use exit\(\)/],
    ['quit', /Use quit\(\)/],
  ])('knows %s', async (code, said) => {
    const { text } = await told(python, 'run_python_code', { python_code: code });

    expect(text).toMatch(said);
    expect(text).toMatch(/<status>success/);
  });

  test.each([
    ['import socket\nsocket.create_connection(("example.com", 80))', /no network/],
    ['import urllib.request\nurllib.request.urlopen("http://127.0.0.1:1/")', /no network/],
    ['import asyncio\nawait asyncio.open_connection("10.0.0.1", 80)', /no network/],
    ['import no_such_module', /no module no_such_module here.*list_python_packages/],
    ['from no_such_module.below import x', /no module no_such_module here/],
    ['!pip install numpy', /pip cannot install/],
    ['%pip install numpy', /pip cannot install/],
    [
      'import subprocess, sys\nsubprocess.run([sys.executable, "-m", "pip", "install", "numpy"])',
      /pip cannot install/,
    ],
  ])('that fails for what there is not says what there is: %s', async (code, note) => {
    const { value } = await told(python, 'run_python_code', { python_code: code });

    expect(value['notes'].join('\n')).toMatch(note);
  });

  test('says nothing more where there is nothing to say', async () => {
    for (const code of ['1', 'open("/nowhere")', '"pip"', 'raise PermissionError(1, "no")']) {
      expect((await ran(code))['notes']).toBeUndefined();
    }
  });

  test('may say of itself what it likes', async () => {
    const code = `
import sys
sys.modules["__main__"]
import gc
runner = next(one for one in gc.get_objects() if isinstance(one, dict) and one.get("left_behind"))
runner["left_behind"] = lambda *_: [["constructor", "x"], ["module", 7], ["module"], 5, None, ["folder", "x" * 10_000], ["threads", "\\ud800"]] * 50
1`;

    expect(await ran(code)).toMatchObject({ status: expect.stringMatching(/success|run-error/) as string });
  });
});
