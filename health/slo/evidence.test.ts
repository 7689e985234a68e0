/** Programs are scripts that say what systemd's would, and write down how they were called. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { fleetNoteFile } from '#runtime/data/fleet-note.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { evidenceOf, shown } from './evidence.ts';

const probed = [{ name: 'memory', reason: 'no answer within 800 ms' }];

function host(programs: Readonly<Record<string, string>> = {}) {
  const folder = temporaryFolder();
  const bin = join(folder.path, 'bin');
  mkdirSync(bin);
  mkdirSync(join(folder.path, 'logs'));
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\nprintf '%s ' "${name}" "$@" >> ${bin}/called\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return {
    path: folder.path,
    surroundings: {
      dataRoot: folder.path,
      deadlineMs: 500,
      programs: [bin],
      systemdFolder: Object.keys(programs).length > 0 ? bin : '/nowhere',
    },
    called: () => (existsSync(`${bin}/called`) ? readFileSync(`${bin}/called`, 'utf8') : ''),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

const note = (falls: object, processes: object = {}) =>
  JSON.stringify({ pid: 1, bornAtTicks: '', processes, names: ['memory'], falls });

test('under systemd: restarts, exit status and the last lines of the journal', async () => {
  using it = host({
    systemctl: `/bin/cat <<'END'
NRestarts=2
Result=signal
ExecMainExitTimestamp=Sun 2026-11-29 04:03:37 UTC
ExecMainCode=2
ExecMainStatus=9
LoadState=loaded
ActiveState=activating
SubState=auto-restart
END`,
    journalctl: `/bin/echo 'login with password=hunter2'; /bin/printf '\\033[31mred\\033[0m\\n'; /bin/echo last`,
  });

  const found = await evidenceOf(probed, it.surroundings);

  expect(found).toEqual([
    {
      process: 'memory',
      probe: 'no answer within 800 ms',
      manager:
        'activating (auto-restart), result signal, restarted 2 times, ended with signal 9 at Sun 2026-11-29 04:03:37 UTC',
      lines: ['login with password=[redacted]', 'red', 'last'],
      note: null,
    },
  ]);
  expect(it.called()).toMatch(
    /systemctl show --no-pager --property=LoadState,\S+ -- flotilla@memory\.service/,
  );
  expect(it.called()).toMatch(
    /journalctl --unit=flotilla@memory\.service --lines=10 --output=cat --no-pager --quiet/,
  );
});

test('programs that fail, hang or are not there are told, and end nothing', async () => {
  using failing = host({
    systemctl: 'echo "Failed to connect to bus: password=hunter2" >&2; exit 1',
    journalctl: 'exec /bin/sleep 600',
  });
  using missing = host({ other: '' });

  const [failed] = await evidenceOf(probed, failing.surroundings);
  const [absent] = await evidenceOf(probed, missing.surroundings);

  expect(failed).toMatchObject({ manager: null, lines: [] });
  expect(failed?.note).toBe(
    'systemctl failed: Failed to connect to bus: password=[redacted]; journalctl gave no answer within 500 ms',
  );
  expect(absent?.note).toBe('systemctl is not installed; journalctl is not installed');
});

test('under "flotilla start": what the supervisor saw, and the last lines of the log file', async () => {
  using it = host();
  writeFileSync(
    fleetNoteFile(it.path),
    note(
      {
        memory: {
          count: 3,
          lastAtMs: Date.parse('2026-11-29T12:00:00Z'),
          reason: 'ended with SIGKILL',
          isFinal: false,
        },
      },
      { memory: 77 },
    ),
  );
  const lines = Array.from(
    { length: 2_000 },
    (_, index) =>
      `{"time":"2026-11-29T12:00:00.000Z","level":"warn","service":"memory","event":"line_${index}","token":"flt_abcdefghijklmnopqrstuvwxyz","n":1}`,
  );
  writeFileSync(join(it.path, 'logs', 'memory.log'), `${lines.join('\n')}\n`);

  const [found] = await evidenceOf(probed, it.surroundings);

  expect(found?.manager).toBe(
    'runs with pid 77; fell 3 times, last at 2026-11-29T12:00:00.000Z: ended with SIGKILL',
  );
  expect(found?.lines).toHaveLength(10);
  expect(found?.lines.at(-1)).toMatch(/^2026-11-29T12:00:00.000Z warn line_1999 token=\[redacted\]+ n=1$/);
  expect(JSON.stringify(found)).not.toContain('flt_');
});

test('a log that is not there, a note that is none, and nobody who runs the fleet', async () => {
  using it = host();
  const [nobody] = await evidenceOf(probed, it.surroundings);
  writeFileSync(fleetNoteFile(it.path), 'no JSON');
  const [broken] = await evidenceOf(probed, it.surroundings);
  writeFileSync(
    fleetNoteFile(it.path),
    note({ memory: { count: 1, lastAtMs: 0, reason: 'a setting is wrong', isFinal: true } }),
  );
  const [final] = await evidenceOf(probed, it.surroundings);

  expect(nobody?.note).toBe('neither systemd nor "flotilla start" runs it here');
  expect(broken).toMatchObject({ manager: null, note: 'no log lines: ENOENT' });
  expect(final?.manager).toBe(
    'fell once, last at 1970-01-01T00:00:00.000Z: a setting is wrong; it is not started again',
  );
});

test('of many processes the first three are looked into', async () => {
  using it = host();
  const many = ['memory', 'git', 'python', 'sqlite'].map((name) => ({ name, reason: null }));

  expect((await evidenceOf(many, it.surroundings)).map(({ process }) => process)).toEqual([
    'memory',
    'git',
    'python',
  ]);
});

test('what is shown is bounded, on one line, and has no secret and no control character', () => {
  expect(shown(`a\nb\tc\u0007 ${'x'.repeat(5_000)}`)).toMatch(/^a b c x{200,}…$/);
  expect(shown(`${'y '.repeat(140)}password=hunter2hunter2`)).not.toContain('hunter2');
  expect(shown('x'.repeat(5_000))).toHaveLength(300);
});
