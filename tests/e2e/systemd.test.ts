/**
 * The real units under a real systemd: installed by the commands of docs/deployment.md, killed, hung, starved, upgraded and
 * taken away again. The tests run in this order, on one private system.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

import { catalogue, type CatalogueEntry } from '#config/catalogue.ts';

import { unitFiles, withLauncher } from '../../scripts/generate/units.ts';
import { dropIns } from '../../scripts/host/drop-ins.ts';
import { bootPrivateSystem, hindrance, type PrivateSystem } from '../support/private-systemd.ts';
import { isWhole } from '../support/trials.ts';

const entries: readonly CatalogueEntry[] = catalogue;
const names = entries.map(({ name }) => name);
const serviceOf = (name: string) => `flotilla@${name}.service`;
const services = names.map(serviceOf);
const sockets = names.map((name) => `flotilla@${name}.socket`);
const memoryPort = 4321;
const gatewayPort = 8000;

const inside = 'node /source/tests/support/inside';
/** Generous: the machine may be busy. What was measured is printed. */
const patience = { timeout: 90_000, interval: 100 };
/** Where a look is a command of its own, which takes from those who are waited for. */
const lookAgain = { ...patience, interval: 500 };

const page = readFileSync(fileURLToPath(new URL('../../docs/deployment.md', import.meta.url)), 'utf8');
const steps = new Map(
  [...page.matchAll(/^```sh step=(\S+)\n(.*?)^```$/gms)].map(([, step = '', text = '']) => [step, text]),
);
const taken = new Set<string>();

let reason: string | undefined;
let host: PrivateSystem;

/** What the document says for this step, from the folder of the code. */
async function step(name: string, folder = '/source'): Promise<string> {
  taken.add(name);
  return host.sh(`set -e; cd ${folder}; ${steps.get(name) ?? 'false'}`);
}

async function property(unit: string, name: string): Promise<string> {
  return host.sh(`systemctl show --property ${name} --value ${unit}`);
}

/** Of each process, when it answers again after the signal, all at once or one after the other; `null` when it does not. */
async function recoveryMs(
  signal: string,
  of: string,
  when: 'at-once' | 'in-turn' = 'at-once',
): Promise<Record<string, number | null>> {
  await forgetFalls();
  const figures = await host.sh(`${inside}/recovery.ts ${signal} ${when} ${of}`);
  return JSON.parse(figures) as Record<string, number | null>;
}

function report(what: string, figures: unknown): void {
  process.stdout.write(`${what}: ${JSON.stringify(figures)}\n`);
}

async function everyoneIsUp(): Promise<void> {
  await vi.waitFor(async () => {
    const { code, stdout } = await host.run('flotilla status');
    expect(stdout).not.toContain('down');
    expect(code).toBe(0);
  }, lookAgain);
}

interface Load {
  readonly sent: number;
  readonly answered: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly longestMs: number;
}

/** New connections to the memory service while the work goes on. */
async function underLoad(work: () => Promise<void>): Promise<Load> {
  await host.sh('rm -f /run/enough');
  const load = host.sh(`${inside}/new-connections.ts ${memoryPort} 50 /run/enough`);
  try {
    await work();
  } finally {
    await host.sh('touch /run/enough');
  }
  return JSON.parse(await load) as Load;
}

/** Calls of clients that keep their connections, while the work goes on. */
async function underKeptLoad(
  work: () => Promise<unknown>,
  port = memoryPort,
): Promise<Omit<Load, 'longestMs'>> {
  const token = await host.sh('rm -f /run/kept-enough*; cat /var/lib/flotilla/token');
  const load = host.sh(`${inside}/kept-connections.ts ${port} ${token} 20 /run/kept-enough`);
  try {
    await work();
  } finally {
    await host.sh('touch /run/kept-enough');
  }
  return JSON.parse(await load) as Load;
}

/** Within `underKeptLoad`: however slow the machine is, what comes after it meets a load. */
const manyCalls = 'until [ -e /run/kept-enough.many ]; do sleep 0.02; done';

/** A call of the memory service that begins before the work and ends when its process is about to stop. */
async function duringACall(work: () => Promise<unknown>): Promise<string> {
  const token = await host.sh('rm -f /run/begun; cat /var/lib/flotilla/token');
  const call = host.sh(`${inside}/slow-call.ts ${memoryPort} ${token} /run/begun`);
  await host.sh('until [ -e /run/begun ]; do sleep 0.02; done');
  await work();
  return call;
}

let probes = 0;

/** Runs a script in the sandbox of a service: the same unit, which starts something else and keeps nothing of its own in /run. */
async function inSandbox(
  name: string,
  script: string,
  dropIn = '',
): Promise<{ status: string; output: string; unit: string }> {
  const unit = `probe-${(probes += 1)}.service`;
  const process =
    'OpenFile|Watchdog.*|Restart.*|Exec.*|Type|NotifyAccess|PartOf|Requires|After|OnFailure|SyslogIdentifier|RuntimeDirectory.*';
  await host.sh(`
    cat > /run/probe.sh <<'END'
${script}
END
    { systemctl cat ${serviceOf(name)} | sed -E '/^(${process})=/d'; cat; } > /run/systemd/system/${unit} <<'END'
[Service]
Type=oneshot
ExecStart=/bin/sh /run/probe.sh
${dropIn}
END
    systemctl daemon-reload; systemctl start ${unit} || true`);
  const status = await property(unit, 'ExecMainStatus');
  const output = await host.sh(`journalctl --sync; journalctl -q -o cat -u ${unit}`);
  return { status, output, unit };
}

/** Falls of the tests before do not count: what follows measures an unhurried restart. */
async function forgetFalls(): Promise<void> {
  await host.sh('rm -f /run/private/flotilla/*/falls /run/flotilla/*/falls');
}

beforeAll(async () => {
  reason = hindrance();
  if (reason !== undefined) return;
  host = await bootPrivateSystem();
  await host.sh(`
    ln -sf /source/node_modules/.bin/node /usr/local/bin/node
    useradd --create-home alice
    # A disk of its own, as some hosts have it.
    mkdir -p /opt/flotilla; mount -t tmpfs -o size=1500M,mode=755 tmpfs /opt/flotilla
    install -d -o alice -g alice /srv/projects
    echo secret > /home/alice/diary; chown alice /home/alice/diary`);
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
});

beforeEach((context) => {
  if (reason !== undefined) context.skip(reason);
});

/** Where an install leaves something; what systemd itself writes there is not ours. */
const inventory =
  'find /etc /opt /usr/local /var/lib /var/cache /run -maxdepth 4 -not -path "/run/systemd/*" -not -path "/run/log/*" -not -path "/run/udev/*" | sort';
let before = '';

describe('A host', () => {
  test('is installed by the commands of the document, and every process answers', async () => {
    before = await host.sh(inventory);

    await step('check-before');
    await step('install');

    expect(await host.sh(`systemctl is-active ${[...services, ...sockets].join(' ')} | sort -u`)).toBe(
      'active',
    );
    await everyoneIsUp();
    for (const unit of services) {
      // Whom systemd ended on a busy machine, because it gave no sign of life, was started again by systemd alone.
      const counted = `journalctl -q -o cat -g '^Starting ${unit} ' | wc -l; systemctl show -p NRestarts --value ${unit}`;
      const [starts, again] = (await host.sh(counted)).split('\n').map(Number);
      expect(starts, `starts of ${unit}`).toBe(1 + (again ?? 0));
    }
    // Its engines are processes of their own, within the same filter of system calls.
    expect(await host.sh(`flotilla call sqlite read_query '{"query":"SELECT 6 * 7 AS answer"}'`)).toContain(
      '42',
    );
    const checked = await step('check-after');
    for (const name of names) expect(checked).toContain(`✓ ${name}`);
    await step('tokens');
    await step('settings');
  });

  test('is not changed by a second install', async () => {
    const pids = await host.sh(`systemctl show -p MainPID --value ${services.join(' ')}`);

    const said = await step('install');

    expect(said).toMatch(/^Release \S+ is in place\./);
    expect(await host.sh(`systemctl show -p MainPID --value ${services.join(' ')}`)).toBe(pids);
  });

  const reach = async () => [
    await property(serviceOf('memory'), 'PrivateNetwork'),
    await property(serviceOf('memory'), 'IPAddressAllow'),
  ];

  test('allows what an install is told, and still does after the next one', async () => {
    // Until it is told to forget; an install notes which addresses are this host's own.
    await host.sh('ip link add pub type bridge && ip addr add 203.0.113.9/24 dev pub && ip link set pub up');

    await host.sh('/source/scripts/flotilla install --allow-address memory=192.0.2.7 --egress dashboard');
    expect(await reach()).toEqual(['no', '192.0.2.7/32']);
    await host.sh('/source/scripts/flotilla install');
    expect(await reach()).toEqual(['no', '192.0.2.7/32']);
    expect(JSON.parse(await host.sh('cat /etc/flotilla/install.json'))).toMatchObject({
      user: 'alice',
      roots: ['/srv/projects'],
    });
  });

  test('is not reached by its own public address, also not by a process that may reach the internet', async (context) => {
    const listening = host.sh(
      `node -e 'require("net").createServer().listen(8099, "203.0.113.9"); setInterval(() => require("fs").existsSync("/run/enough") && process.exit(), 50)'`,
    );
    await host.sh('rm -f /run/enough; until ss -ltn | grep -q :8099; do sleep 0.05; done');
    const connect = `/opt/flotilla/current/node_modules/.bin/node -e '
      const socket = require("net").connect(8099, "203.0.113.9");
      socket.setTimeout(1000, () => process.exit()).on("connect", () => { console.log("connects"); process.exit(); }).on("error", () => {})'; true`;

    const egress = await inSandbox('dashboard', connect);
    const open = await inSandbox('dashboard', connect, 'IPAddressDeny=');
    const shut = await inSandbox('dashboard', connect, 'IPAddressDeny=\nIPAddressDeny=any\nIPAddressAllow=');
    await host.sh('touch /run/enough');
    await listening;
    if (shut.output.includes('connects')) context.skip('the kernel forbids it: no filter of addresses');

    expect(open.output).toContain('connects');
    expect(egress.output).not.toContain('connects');
  });

  test('takes back what it allowed when an install is told to forget', async () => {
    await host.sh(`${steps.get('install')?.trim()} --forget; ip link del pub`.replace('./', '/source/'));

    expect(await reach()).toEqual(['yes', '']);
    await everyoneIsUp();
  });

  test('has units in which systemd finds nothing to say, and finds what is planted there', async () => {
    const all = [
      ...services,
      ...sockets,
      'flotilla.target',
      'flotilla.slice',
      'flotilla-backup.service',
      'flotilla-backup-check.service',
    ];
    const verify = `systemd-analyze verify --man=no --recursive-errors=one`;

    const clean = await host.run(
      `${verify} ${all.join(' ')} flotilla-backup.timer flotilla-backup-check.timer flotilla-alert@x.service flotilla-retry@memory.service ${names.map((name) => `flotilla@${name}.path`).join(' ')}`,
    );
    const planted = await host.run(
      `cd /run; sed 's/^Restart=/Restartt=/' /etc/systemd/system/${serviceOf('memory')} > planted@x.service; ${verify} /run/planted@x.service`,
    );

    expect(clean).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(planted.code).not.toBe(0);
    expect(planted.stderr).toMatch(/Unknown key .*Restartt/);
  });

  test('exposes little: no unit is above its limit', async () => {
    const limits = [
      ...entries.map(({ name, files, observes }) => [serviceOf(name), files || observes ? 25 : 15] as const),
      ...[
        'flotilla-backup.service',
        'flotilla-backup-check.service',
        'flotilla-alert@x.service',
        'flotilla-retry@memory.service',
      ].map((unit) => [unit, 15] as const),
    ];
    const scores: Record<string, string> = {};
    for (const [unit, limit] of limits) {
      const { code, stdout } = await host.run(
        `systemd-analyze security --no-pager --offline=true --threshold=${limit} ${unit}`,
      );
      scores[unit] = /exposure level for .*: ([\d.]+)/.exec(stdout)?.[1] ?? stdout;
      expect(code, `${unit}: ${scores[unit]}`).toBe(0);
    }
    report('exposure', scores);
  });

  test('gives each process a user of its own, and its folder to it alone', async () => {
    const users = await Promise.all(
      services.map(async (unit) => host.sh(`stat -c %U /proc/$(systemctl show -p MainPID --value ${unit})`)),
    );
    const own = entries.filter(({ files }) => !files).map(({ name }) => `fl-${name}`);

    expect(users.toSorted()).toEqual(
      entries.map(({ name, files }) => (files ? 'alice' : `fl-${name}`)).toSorted(),
    );
    expect(new Set(own).size).toBe(own.length);
    for (const name of names) expect(await host.sh(`stat -L -c %a /var/lib/flotilla/${name}`)).toBe('700');
    const signers = entries.filter(({ signs }) => signs).map(({ name }) => name);
    const shared = ['tokens.json', ...signers.map((name) => `${name}-key.pem`)];
    expect(await host.sh(`cd /var/lib/flotilla && stat -c "%a %U:%G" ${shared.join(' ')}`)).toBe(
      shared.map(() => '640 root:flotilla').join('\n'),
    );
    const secrets = [
      '/var/lib/flotilla/token',
      ...['backup', ...signers].map((name) => `/etc/flotilla/credentials/${name}`),
    ];
    expect(await host.sh(`stat -c "%a %U" ${secrets.join(' ')}`)).toBe(
      secrets.map(() => '600 root').join('\n'),
    );
  });

  test('has one address for all of them, behind which each caller is who it is', async () => {
    const counted = await host.sh(`flotilla call gateway count_tokens '{"text":"one two"}'`);
    expect(JSON.parse(counted)).toMatchObject({ tokens: 2 });
    const listed = await host.sh('flotilla call gateway');
    for (const tool of ['open_nodes', 'git_status', 'run_python_code', 'supabase_list_tables', 'rank_models'])
      expect(listed).toContain(`${tool} `);
    // Records are written within a second.
    await vi.waitFor(async () => {
      const records = await host.sh('flotilla audit search context gateway --caller first');
      expect(records.match(/count_tokens/g)).toHaveLength(2);
    }, patience);
  });

  test('keeps a revoked token out of every process at once, and the list readable', async () => {
    await host.sh('flotilla token revoke laptop');

    expect(await host.sh('stat -c "%a %U:%G" /var/lib/flotilla/tokens.json')).toBe('640 root:flotilla');
    await host.sh(`flotilla call memory read_graph`);
  });
});

describe('In the sandbox', () => {
  test('system-info tells of the host from within its unit: processes, units, their lines, and the fleet', async () => {
    // oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at field by field
    const ask = async (tool: string, args: object = {}): Promise<any> =>
      JSON.parse(await host.sh(`flotilla call system-info ${tool} '${JSON.stringify(args)}'`));
    const memoryUnit = { service_name: serviceOf('memory') };

    const first = await ask('list_processes', { limit: 1 });
    const own = await ask('list_processes', { name: 'node', limit: 200 });
    const running = await ask('list_services', { state: 'running', limit: 200 });
    const status = await ask('get_service_status', memoryUnit);
    const logs = await ask('get_service_logs', { ...memoryUnit, lines: 5 });
    const memory = await ask('get_memory_information');
    const fleet = await ask('get_fleet_status');

    expect(first.processes[0]).toMatchObject({ pid: 1, name: 'systemd', user: 'root' });
    expect(first.unavailable).toBeUndefined();
    expect(new Set(own.processes.map(({ user }: { user: string }) => user)).size).toBeGreaterThan(3);
    expect(running.services.map(({ unit }: { unit: string }) => unit)).toEqual(
      expect.arrayContaining(services),
    );
    expect(status).toMatchObject({
      load: 'loaded',
      active: 'active',
      sub: 'running',
      activeSince: expect.any(String),
    });
    expect(logs.entries?.length ?? 0, JSON.stringify(logs)).toBeGreaterThan(0);
    expect(memory.ram.usedPercent).toBeGreaterThan(0);
    expect(memory.limits.memoryLimitBytes ?? 512 * 1024 ** 2).toBeLessThanOrEqual(512 * 1024 ** 2);
    expect(fleet.up).toBe(names.length);
    for (const { name, restarts, memoryBytes, fileDescriptors } of fleet.processes) {
      expect([typeof restarts, typeof memoryBytes, typeof fileDescriptors], name).toEqual([
        'number',
        'number',
        'number',
      ]);
    }
  });

  test('of a service without network there is nobody to talk to, nothing of others, and nowhere to write', async () => {
    const { output } = await inSandbox(
      'memory',
      `
      cat /var/lib/flotilla/tokens.json > /dev/null && echo reads the hashes
      touch $STATE_DIRECTORY/x && echo writes its own folder
      rm -f $STATE_DIRECTORY/x
      cat /var/lib/flotilla/token /etc/flotilla/credentials/backup /etc/shadow 2> /dev/null && echo reads secrets
      ls /var/lib/private/flotilla/health /home/alice 2> /dev/null && echo sees others
      touch /opt/flotilla/x /etc/x /var/lib/flotilla/x /usr/x 2> /dev/null && echo writes elsewhere
      ls -d /proc/1 2> /dev/null && echo sees processes of others
      /opt/flotilla/current/node_modules/.bin/node -e '
        require("net").connect(4360, "127.0.0.1").on("connect", () => console.log("connects")).on("error", () => {})'
      /opt/flotilla/current/node_modules/.bin/node -e '
        const { setPriority } = require("os"); setPriority(10); console.log("gives way");
        try { setPriority(0); console.log("gets ahead"); } catch {}'
      true`,
    );

    expect(
      output.split('\n').filter((line) => /^(reads|writes|sees|connects|gives|gets)/.test(line)),
    ).toEqual(['reads the hashes', 'writes its own folder', 'gives way']);
  });

  const ofFiles = entries.filter(({ files }) => files).map(({ name }) => name);
  test.each(ofFiles)('of %s, nothing is reached of another that runs as the same user', async (name) => {
    const others = ofFiles.filter((other) => other !== name);
    expect(others).not.toEqual([]);
    await host.sh('systemd-run --quiet --collect --unit=control --uid=alice sleep infinity');
    const control = await property('control', 'MainPID');
    const pids = await Promise.all(others.map(async (other) => property(serviceOf(other), 'MainPID')));
    const enter = [...pids, control]
      .map(
        (pid) => `ls /proc/${pid}/root/ > /dev/null 2>&1 && echo enters ${pid}
        cat /proc/${pid}/environ > /dev/null 2>&1 && echo reads the environment of ${pid}`,
      )
      .concat('true')
      .join('\n');

    const { output } = await inSandbox(
      name,
      `
      for other in ${others.join(' ')}; do
        touch /var/lib/flotilla/$other/audit/x 2> /dev/null && echo writes what $other records
        ls /var/lib/flotilla/$other/audit 2> /dev/null && echo reads what $other records
      done
      touch /dev/shm/x 2> /dev/null && echo shares memory
      touch $STATE_DIRECTORY/x && echo writes its own folder; rm -f $STATE_DIRECTORY/x
      ${enter}`,
    );
    const withoutUsers = await inSandbox(name, enter, 'PrivateUsers=no');
    const userItself = await host.sh(`setpriv --reuid alice --regid alice --clear-groups sh -c '${enter}'`);
    await host.sh('systemctl stop control');

    const found = (text: string) =>
      text.split('\n').filter((line) => /^(writes|reads|enters|shares)/.test(line));
    expect(found(output)).toEqual(['writes its own folder']);
    // So the attempts are real: what is in no sandbox is entered.
    const entered = [`enters ${control}`, `reads the environment of ${control}`];
    expect(found(withoutUsers.output)).toEqual(entered);
    expect(found(userItself)).toEqual(entered);
  });

  test('of git, each git has one of its own, and reads and changes a repository of the user', async () => {
    await host.sh(`
      su alice -c 'cd /srv/projects && rm -rf repo && git init -q -b main repo && cd repo && echo one > a.txt && git add . &&
        git -c user.name=Alice -c user.email=alice@example.com commit -q -m first && echo two >> a.txt'`);
    const calls = ['git_status', 'git_commit'].map((tool) => {
      const args = {
        repo_path: '/srv/projects/repo',
        ...(tool === 'git_commit' && { message: 'x', files: ['.'] }),
      };
      return `flotilla call git ${tool} '${JSON.stringify(args)}'`;
    });

    const said = await host.sh(calls.join(' && '));

    expect(said).toContain('modified:   a.txt');
    expect(said).toMatch(/"hash": "[0-9a-f]{40}"/);
    expect(await host.sh('stat -c %U /srv/projects/repo/.git/index')).toBe('alice');
    const ready = `fetch("http://127.0.0.1:4332/ready").then(async (answer) => console.log(await answer.text()))`;
    expect(await host.sh(`node -e '${ready}'`)).toContain('"ready":true');
    await host.sh('rm -rf /srv/projects/repo');
  });

  const makers = [
    { maker: 'bubblewrap', program: 'bwrap', hide: 'true' },
    { maker: 'util-linux', program: 'unshare', hide: 'mv /usr/bin/bwrap /usr/bin/bwrap.away' },
  ];
  // runtime/sandbox.test.ts tries both, outside of a unit.
  test.each(isWhole ? makers : makers.slice(0, 1))(
    'of python, code runs in one of its own, made by $maker, and leaves it by no way',
    async ({ program, hide }) => {
      const call = async (tool: string, args: object) =>
        JSON.parse(await host.sh(`flotilla call python ${tool} '${JSON.stringify(args)}'`)) as Record<
          string,
          unknown
        >;
      const attempts = `
import ctypes, glob, os, socket
libc = ctypes.CDLL(None)
def reaches(act):
    try:
        return act() is not None
    except OSError:
        return False
[name for name, act in {
    "the files of the host": lambda: os.listdir("/var/lib/flotilla"),
    "the list of tokens": lambda: open("/var/lib/flotilla/tokens.json"),
    "the environment of any process": lambda: glob.glob("/proc/*/environ") or None,
    "a network": lambda: socket.socket(),
    "a namespace": lambda: None if libc.unshare(0x10000000) else 1,
    "a mount": lambda: None if libc.mount(b"none", b"/session", b"tmpfs", 0, 0) else 1,
    "tracing": lambda: None if libc.ptrace(0, 0, 0, 0) else 1,
    "programs that it writes": lambda: open("/usr/bin/x", "w"),
}.items() if reaches(act)]`;
      await host.sh(hide);
      try {
        await host.sh(`systemctl restart ${serviceOf('python')}`);
        await everyoneIsUp();
        const reached = await call('run_python_code', { python_code: attempts });
        const made = await call('create_python_session', {});
        const session = { session_id: made['session_id'] };
        await call('run_python_code', { python_code: 'x = 1; open("a", "w").write("kept")', ...session });
        const kept = await call('run_python_code', { python_code: 'x, open("a").read()', ...session });
        const around = await host.sh('ps -u fl-python -o comm=');
        const memory = await call('run_python_code', {
          python_code:
            'import os, time\nfor _ in range(3): os.fork()\nx = b"x" * 150_000_000\ntime.sleep(60)',
        });
        const forks = await call('run_python_code', {
          python_code: 'import os\nwhile True:\n  try:\n    os.fork()\n  except OSError: pass',
          timeout_ms: 500,
        });

        expect(reached).toMatchObject({ status: 'success', return_value: '[]' });
        expect(around.split('\n')).toContain(program);
        expect(kept).toMatchObject({ return_value: '[1,"kept"]' });
        expect(memory['limits']).toEqual([expect.stringContaining('memoryBytes')]);
        expect(forks['error']).toContain('timeout_ms');
        // They are ended with their run, and gone when the kernel has put them away.
        await vi.waitFor(
          async () => expect(await host.sh('pgrep -c -u fl-python python || true')).toBe('1'),
          patience,
        );
      } finally {
        await host.sh('mv /usr/bin/bwrap.away /usr/bin/bwrap 2> /dev/null || true');
      }
    },
  );

  test('of python and git, nothing runs where none can be made, and everyone says so', async () => {
    const ready = `node -e 'fetch("http://127.0.0.1:4333/ready").then(async (answer) => console.log(await answer.text()))'`;
    await host.sh('for name in bwrap unshare; do mv /usr/bin/$name /usr/bin/$name.away; done');
    try {
      await host.sh(`systemctl restart ${serviceOf('python')}`);
      await vi.waitFor(async () => expect(await host.sh(ready)).toContain('"ready":false'), patience);
      const call = await host.run(`flotilla call python run_python_code '{"python_code":"1"}'`);
      const doctor = await host.run('flotilla doctor --fix < /dev/null');

      expect(await host.sh(ready)).toContain('No sandbox can be made without bwrap');
      expect(call).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/without bwrap.*apt-get install bubblewrap/s) as string,
      });
      expect(doctor.code).toBe(1);
      expect(doctor.stdout).toMatch(/✗ sandbox for git and python: No sandbox can be made without bwrap/);
      expect(doctor.stdout).toContain('apt-get install --yes --no-install-recommends bubblewrap');
    } finally {
      await host.sh(
        `for name in bwrap unshare; do mv /usr/bin/$name.away /usr/bin/$name; done; systemctl restart ${serviceOf('python')}`,
      );
      await everyoneIsUp();
    }
  });

  test('of health, the journal and the state of the units can be read', async () => {
    await host.sh('systemctl start dbus.service');

    const { output } = await inSandbox(
      'health',
      `journalctl -q -o cat -n 1 -u ${serviceOf('memory')} | grep -q . && echo reads the journal
       systemctl show -p ActiveState ${serviceOf('memory')}`,
    );

    expect(output).toContain('reads the journal');
    expect(output).toContain('ActiveState=active');
  });

  test('of logging, what others log to the journal is found, and their records of calls', async () => {
    await host.sh('flotilla call memory read_graph');
    const found = async (source: string, query: string) =>
      vi.waitFor(async () => {
        const args = JSON.stringify({ query, service: 'memory' });
        expect(await host.sh(`flotilla call logging search_logs '${args}'`)).toContain(source);
      }, patience);

    await found('fleet:memory', 'listening');
    await found('audit:memory', 'read_graph');
  });

  test('of a service for files, the roots can be written as their user does, and nothing else of a home is there', async () => {
    const entry: CatalogueEntry = { ...entries[0], name: 'memory', files: true } as CatalogueEntry;
    const choices = { user: 'alice', roots: ['/srv/projects'], egress: [], addresses: {} };
    const dropIn = dropIns([entry], choices, {
      processors: 1,
      nameServers: [],
      addresses: [],
      backups: undefined,
    }).get('flotilla@memory.service.d/50-install.conf');

    const { output, unit } = await inSandbox(
      'memory',
      `echo "$FLOTILLA_ROOTS" as $(id -un)
       echo hello > /srv/projects/note && stat -c '%a %U' /srv/projects/note
       cat /home/alice/diary || echo no diary
       touch /srv/elsewhere || echo nowhere else`,
      dropIn,
    );
    const exposure = await host.run(
      `systemd-analyze security --no-pager --offline=true --threshold=25 ${unit} | tail -n 1; exit $PIPESTATUS`,
    );

    expect(output).toContain('/srv/projects as alice');
    expect(output).toContain('644 alice');
    expect(output).toContain('no diary');
    expect(output).toContain('nowhere else');
    expect(exposure.code).toBe(0);
    report('exposure of a service for files', exposure.stdout.trim());
    // The folder that the probe shared goes back to its owner.
    await host.sh(
      `rm /run/systemd/system/${unit}; systemctl daemon-reload; systemctl restart ${serviceOf('memory')}`,
    );
  });

  test.each(names.filter((name) => name === 'filesystem'))(
    'of %s, a file is written as the user writes it',
    async () => {
      await host.sh(`flotilla call filesystem write_file '{"path":"/srv/projects/plan","content":"sail"}'`);

      expect(await host.sh('stat -c "%a %U" /srv/projects/plan')).toBe('644 alice');
    },
  );

  test('no line of the log is lost to a rate limit', async () => {
    const { unit } = await inSandbox('dashboard', 'seq 20000');

    await vi.waitFor(async () => {
      expect(await host.sh(`journalctl --sync; journalctl -q -o cat -u ${unit} -g '^[0-9]+$' | wc -l`)).toBe(
        '20000',
      );
    }, patience);
  });

  test('records carry their priority, and are the JSON that was written', async () => {
    const line = await host.sh(
      `journalctl -q -o json -n 1 -u ${serviceOf('health')} -g '"event":"listening"'`,
    );
    const { PRIORITY, MESSAGE } = JSON.parse(line) as { PRIORITY: string; MESSAGE: string };

    const lines = await host.sh('flotilla logs health --json -n 10000');
    const warnings = await host.run('flotilla logs memory --level error');

    expect(lines).toContain('"event":"listening"');
    expect(warnings.stdout).not.toContain('info');
    expect(PRIORITY).toBe('6');
    expect(JSON.parse(MESSAGE)).toMatchObject({ level: 'info', service: 'health', event: 'listening' });
  });

  test('the limits are there', async () => {
    const processors = Number(await host.sh('nproc'));
    expect(await property('flotilla.slice', 'MemoryMax')).toBe(String(4 * 2 ** 30));
    expect(await property('flotilla.slice', 'CPUQuotaPerSecUSec')).toMatch(
      new RegExp(`^${Math.floor(processors * 0.8)}(\\.\\d+)?s$|ms$`),
    );
  });

  test('who takes more memory than allowed is ended, and nobody else', async (context) => {
    const group = await host.run(
      'cat /sys/fs/cgroup/memory/flotilla.slice/memory.limit_in_bytes /sys/fs/cgroup/flotilla.slice/memory.max 2> /dev/null; true',
    );
    if (!/^\d+$/m.test(group.stdout)) {
      context.skip('the kernel forbids it: no memory controller for this systemd');
    }
    const hog = 'const all = []; for (;;) all.push(Buffer.alloc(1e7, 1));';

    const { status } = await inSandbox(
      'dashboard',
      `exec /opt/flotilla/current/node_modules/.bin/node -e '${hog}'`,
      'MemoryHigh=infinity\nMemoryMax=150M\nMemorySwapMax=0',
    );

    expect(status).toBe('9');
    await everyoneIsUp();
  });
});

describe('When something falls', () => {
  const times = ['in-turn', 'at-once'] as const;
  // With npm run test:faults all of them, and all at once; otherwise the first of each tier.
  const tiers = new Set(entries.map(({ tier }) => tier));
  const fallen = isWhole
    ? entries
    : [...tiers].flatMap((of) => entries.find(({ tier }) => tier === of) ?? []);
  test.each(isWhole ? times : times.slice(0, 1))(
    'each process that is killed, %s, is back by itself',
    async (when) => {
      const byPort = await recoveryMs('SIGKILL', fallen.map(({ port }) => port).join(' '), when);

      const each = Object.fromEntries(fallen.map(({ name, port }) => [name, byPort[port]]));
      report(`ms after kill -9, ${when}`, each);
      expect(Object.values(each)).toEqual(fallen.map(() => expect.any(Number) as number));
      await everyoneIsUp();
    },
  );

  test('a process that hangs is ended and back', async () => {
    const all = await recoveryMs('SIGSTOP', String(memoryPort));

    report('ms after SIGSTOP', all[memoryPort]);
    expect(all[memoryPort]).not.toBeNull();
    expect(await host.sh(`journalctl -q -o cat -u ${serviceOf('memory')}`)).toContain('Watchdog timeout');
    await everyoneIsUp();
  });

  test('who connects while a process is killed waits, and is not refused', async () => {
    const load = await underLoad(async () => {
      await recoveryMs('SIGKILL', String(memoryPort));
    });

    report('new connections during kill -9', load);
    expect(load.failures['ECONNREFUSED'] ?? 0).toBe(0);
    // What the dead process had accepted goes with it.
    expect(load.sent - load.answered).toBeLessThanOrEqual(5);
  });

  test('one that falls again and again is held back, never given up, and comes up by itself when it can', async () => {
    const restarts = async () => Number(await property(serviceOf('memory'), 'NRestarts'));
    await forgetFalls();
    await host.sh('echo FLOTILLA_MEMORY_TOOLS=nonsense >> /etc/flotilla/memory.env');
    const since = await host.sh('date +%s.%N');
    const had = await restarts();
    await host.sh(`kill -9 $(systemctl show -p MainPID --value ${serviceOf('memory')})`);
    const logged = async (which = '') =>
      host.sh(`journalctl -q -o cat ${which} --since @${since} -u ${serviceOf('memory')}`);

    await vi.waitFor(
      async () => expect(await logged()).toMatch(/"event":"held_back","falls":[5-9]/),
      patience,
    );
    expect(
      await host.sh(`journalctl -q -o cat -p err --since @${since} -u ${serviceOf('memory')}`),
    ).toContain('FLOTILLA_MEMORY_TOOLS');
    const alerts = async () => host.sh('journalctl -q -o cat -p crit -t flotilla-alert');
    await vi.waitFor(
      async () => expect(await alerts()).toContain('"unit":"flotilla@memory.service"'),
      patience,
    );
    const waiting = host.sh(
      `node -e 'fetch("http://127.0.0.1:${memoryPort}/health").then((r) => console.log(r.status))'`,
    );
    await host.sh('sed -i /nonsense/d /etc/flotilla/memory.env');

    expect(await waiting).toBe('200');
    expect((await restarts()) - had).toBeGreaterThan(4);
    await everyoneIsUp();
  });

  test('a port that another program holds at the start is told, and taken when it is free', async () => {
    await host.sh(`systemctl stop ${serviceOf('memory')} flotilla@memory.socket`);
    const other = host.sh(
      `node -e 'require("net").createServer().listen(${memoryPort}, "127.0.0.1"); setInterval(() => require("fs").existsSync("/run/enough") && process.exit(), 50)'`,
    );
    await host.sh(`rm -f /run/enough; until ss -ltn | grep -q :${memoryPort}; do sleep 0.05; done`);

    const start = await host.run('systemctl start flotilla@memory.socket');

    expect(start.code).not.toBe(0);
    expect(await host.sh('systemctl --failed --plain --no-legend')).toContain('flotilla@memory.socket');
    await vi.waitFor(async () => {
      expect(await host.sh('journalctl -q -o cat -p crit -t flotilla-alert')).toContain(
        '"unit":"flotilla@memory.socket"',
      );
    }, patience);
    expect((await host.run('flotilla status')).code).toBe(1);
    await host.sh('touch /run/enough');
    await other;
    await everyoneIsUp();
  });

  test('a backup is made by its own user, health may read how it went, and it is put back with one command', async () => {
    const remember = async (text: string) => host.sh(`flotilla call memory add_memory '{"text":"${text}"}'`);
    await remember('Before the backup.');

    await step('backup');
    await remember('After the backup.');
    const { output } = await inSandbox(
      'health',
      'grep -l at /var/lib/flotilla-backups/state.json; cat /var/lib/flotilla-backups/*.zst || echo no archive',
    );
    await step('restore');

    expect(await host.sh('stat -c "%a %U" /var/lib/flotilla-backups/*.zst')).toBe('600 fl-backup');
    expect(output).toContain('/var/lib/flotilla-backups/state.json');
    expect(output).toContain('no archive');
    await everyoneIsUp();
    const found = await host.sh(`flotilla call memory list_memories '{"limit":10}'`);
    expect(found).toContain('Before the backup.');
    expect(found).not.toContain('After the backup.');
  });

  test('a setting for all processes holds for the backup too: it is encrypted to the recipient', async () => {
    const recipient = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';
    await host.sh(`echo FLOTILLA_BACKUP_RECIPIENT=${recipient} > /etc/flotilla/fleet.env`);

    await host.sh('systemctl start flotilla-backup');
    // A backup by hand does as the unit does.
    await host.sh('flotilla backup; rm /etc/flotilla/fleet.env');

    const heads = await host.sh('head -qc 14 $(ls -t /var/lib/flotilla-backups/*.age | head -n 2)');
    expect(heads).toBe('age-encryptionage-encryption');
  });

  test('the folder of the settings is where backups go, and health looks, once an install has let the unit write there', async () => {
    await host.sh('echo FLOTILLA_BACKUPS=/srv/backups > /etc/flotilla/fleet.env');
    await step('install');
    await host.sh('systemctl restart flotilla@health; systemctl start flotilla-backup');

    expect(await host.sh('stat -c "%a %U" /srv/backups/*.zst')).toBe('600 fl-backup');
    expect(await host.sh('flotilla backups')).toMatch(/^\/srv\/backups\n[^]* here +memory/);
    await vi.waitFor(async () => {
      const health = await host.sh(
        `node -e 'fetch("http://127.0.0.1:4360/health").then((r) => r.text()).then(console.log)'`,
      );
      expect(health).toMatch(/"backup":\{.*"restoreMs":\d/);
    }, patience);
    await host.sh('rm /etc/flotilla/fleet.env');
    await step('install');
    await host.sh('systemctl restart flotilla@health; rm -r /srv/backups');
  });

  test('what the timer starts a second time makes none where one is fresh; by hand it does', async () => {
    const count = async () => Number(await host.sh('ls /var/lib/flotilla-backups/*.zst | wc -l'));
    await host.sh('systemctl start flotilla-backup');
    const before = await count();

    await host.sh(`mkdir -p /run/systemd/system/flotilla-backup.timer.d
      printf '[Timer]\\nOnActiveSec=0\\nAccuracySec=1ms\\nRandomizedDelaySec=0\\n' > /run/systemd/system/flotilla-backup.timer.d/now.conf
      systemctl daemon-reload; systemctl restart flotilla-backup.timer`);
    await vi.waitFor(async () => {
      expect(await host.sh('journalctl -q -o cat -t flotilla-backup -t sh -n 20')).toContain('is fresh');
    }, patience);
    expect(await count()).toBe(before);

    await host.sh(
      'rm -r /run/systemd/system/flotilla-backup.timer.d; systemctl daemon-reload; systemctl restart flotilla-backup.timer',
    );
    await host.sh('systemctl start flotilla-backup');
    expect(await count()).toBeGreaterThan(before);
  });

  test('a missing credential fails the backup before it begins, and is told once', async () => {
    await host.sh('mv /etc/flotilla/credentials/backup /run/kept');

    for (let attempt = 0; attempt < 2; attempt++) {
      expect((await host.run('systemctl start flotilla-backup.service')).code).not.toBe(0);
      expect(await property('flotilla-backup.service', 'ExecMainStatus')).toBe('243');
    }

    await host.sh('mv /run/kept /etc/flotilla/credentials/backup');
    const alerts = async () => host.sh('journalctl -q -o cat -p crit -t flotilla-alert -g backup');
    await vi.waitFor(async () => expect(await alerts()).toContain('flotilla-backup.service'), patience);
    expect((await alerts()).split('\n')).toHaveLength(1);
  });

  test('that no backup was made is told too, by a daily look', async () => {
    await host.sh('systemctl start flotilla-backup; systemctl start flotilla-backup-check');

    await host.sh('mv /var/lib/flotilla-backups/*.zst* /run');
    expect((await host.run('systemctl start flotilla-backup-check')).code).not.toBe(0);

    const alerts = async () => host.sh('journalctl -q -o cat -p crit -t flotilla-alert -g backup-check');
    await vi.waitFor(async () => expect(await alerts()).toContain('flotilla-backup-check.service'), patience);
    await host.sh('cd /run && mv *.zst* /var/lib/flotilla-backups');
  });
});

describe('Without refusing anyone', () => {
  test('a process is restarted, and the call that runs is finished', async () => {
    await everyoneIsUp();
    let call = '';

    const load = await underLoad(async () => {
      call = await duringACall(async () => host.sh(`systemctl restart ${serviceOf('memory')}`));
      await host.sh(`systemctl restart ${serviceOf('memory')}`);
    });

    report('new connections during two restarts', load);
    expect(call).toBe('answered');
    expect(load).toMatchObject({ answered: load.sent, failures: {} });
  });

  test('a process is restarted again and again, and no call on a kept connection is lost', async () => {
    const load = await underKeptLoad(async () => {
      for (let restart = 0; restart < 5; restart++)
        await host.sh(`systemctl restart ${serviceOf('memory')}; sleep 1; ${manyCalls}`);
    });

    report('calls on kept connections during five restarts', load);
    expect(load.sent).toBeGreaterThan(100);
    expect(load).toMatchObject({ answered: load.sent, failures: {} });
  });

  test('a service and the gateway in front of it are restarted, and no call through it is lost', async () => {
    const load = await underKeptLoad(async () => {
      for (const name of ['memory', 'gateway', 'memory'] as const)
        await host.sh(`systemctl restart ${serviceOf(name)}; sleep 1; ${manyCalls}`);
    }, gatewayPort);

    report('calls through the gateway during restarts', load);
    expect(load.sent).toBeGreaterThan(100);
    expect(load).toMatchObject({ answered: load.sent, failures: {} });
  });

  test('the fleet is upgraded, and the call that runs is finished', async () => {
    // Another version of the code, as a checkout would be.
    await host.sh(`
      mkdir /next; cd /source
      cp -r $(ls -A | grep -vE '^(node_modules|\\.git|data|workspace)$') /next
      ln -s /source/node_modules /next/node_modules
      sed -i 's/"version": "0/"version": "9/' /next/package.json`);
    let [call, kept] = ['', {} as Awaited<ReturnType<typeof underKeptLoad>>];

    const load = await underLoad(async () => {
      kept = await underKeptLoad(async () => {
        call = await duringACall(async () => step('upgrade', '/next'));
      });
    });

    report('new connections during an upgrade', load);
    report('calls on kept connections during an upgrade', kept);
    expect(kept).toMatchObject({ answered: kept.sent, failures: {} });
    expect(call).toBe('answered');
    expect(load).toMatchObject({ answered: load.sent, failures: {} });
    expect(
      await host.sh(
        `node -e 'fetch("http://127.0.0.1:${memoryPort}/health").then((r) => r.text()).then(console.log)'`,
      ),
    ).toMatch(/"version":"9/);
    await everyoneIsUp();
  });

  test('code that is gone under a process is told', async () => {
    const release = await host.sh('readlink -f /opt/flotilla/current');
    const status = 'FLOTILLA_DATA=/var/lib/flotilla /source/scripts/flotilla';

    await host.sh(`mv ${release} ${release}.away`);
    const seen = await host.run(`${status} status`);
    const validated = await host.run(`${status} validate --only memory`);
    await host.sh(`mv ${release}.away ${release}`);

    expect(seen).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/memory .*its code is gone: restart it/),
    });
    expect(validated).toMatchObject({ code: 1, stdout: expect.stringContaining('its code is gone') });
    await everyoneIsUp();
  });

  if (!isWhole) return;

  test('an upgrade for which there is no room is told, and leaves nothing', async () => {
    const before = await host.sh('ls -A /opt/flotilla/releases; readlink /opt/flotilla/current');
    await host.sh(`
      cp -r /next /large; sed -i 's/"version": "9/"version": "11/' /large/package.json
      fallocate -l $(($(df --output=avail -B1 /opt/flotilla | tail -n 1) - 50000000)) /opt/flotilla/filler`);

    const upgrade = await host.run('/large/scripts/flotilla upgrade');
    await host.sh('rm /opt/flotilla/filler');

    expect(upgrade).toMatchObject({
      code: 69,
      stderr: expect.stringMatching(/^flotilla: The disk is full \(.*\n$/),
    });
    expect(await host.sh('ls -A /opt/flotilla/releases; readlink /opt/flotilla/current')).toBe(before);
    await everyoneIsUp();
  });

  test('an upgrade that is interrupted is finished by the next one, and no process is left in what it removes', async () => {
    await host.sh(`cp -r /next /later; sed -i 's/"version": "9/"version": "10/' /later/package.json`);
    const running = async () =>
      host.sh(
        `for unit in ${services.join(' ')}; do readlink /proc/$(systemctl show -p MainPID --value $unit)/cwd; done | sort -u`,
      );
    const before = await running();

    await host.sh(`
      /later/scripts/flotilla upgrade > /run/upgrade.log 2>&1 & upgrade=$!
      until grep -q ✓ /run/upgrade.log; do sleep 0.02; done
      kill -9 $upgrade; wait $upgrade || true; rm /run/upgrade.log`);
    const between = await running();
    await host.sh('/later/scripts/flotilla upgrade');
    const after = await running();

    expect(before.split('\n')).toHaveLength(1);
    expect(between.split('\n')).toEqual(expect.arrayContaining([before]));
    expect(between.split('\n').length).toBeGreaterThan(1);
    expect(after).toBe(await host.sh('readlink -f /opt/flotilla/current'));
    expect(after).toContain('/10.');
    await host.sh('flotilla call memory read_graph');
    await everyoneIsUp();
  });

  test('an upgrade that does not come up is taken back', async () => {
    const releases = await host.sh('ls -A /opt/flotilla /opt/flotilla/releases');
    const running = await host.sh('readlink /opt/flotilla/current');
    // With a process more, which is up before the one that is broken.
    await host.sh(`
      cp -r /next /broken; cd /broken
      echo 'throw new Error("broken");' >> health/service.ts
      cp -r services/memory services/extra
      sed -i "s/name: 'memory'/name: 'extra'/; s/FLOTILLA_MEMORY_/FLOTILLA_EXTRA_/" services/extra/service.ts
      sed -i "s|^export const catalogue = \\[|&{ name: 'extra', port: 4399, tier: 1, network: 'none', description: '', data: null },|" config/catalogue.ts`);

    const load = await underLoad(async () => {
      const { code, stdout, stderr } = await host.run('/broken/scripts/flotilla upgrade');
      expect(code).toBe(69);
      expect(stdout).toContain('✓ extra');
      expect(stderr).toMatch(/health did not come up in release 9\S+: 10\S+ runs again/);
    });
    expect(await host.sh('ls -A /opt/flotilla /opt/flotilla/releases')).toBe(releases);

    report('new connections during an upgrade that is taken back', load);
    expect(load).toMatchObject({ answered: load.sent, failures: {} });
    expect(await host.sh('readlink /opt/flotilla/current')).toBe(running);
    expect(
      await host.sh('systemctl list-unit-files --no-legend "flotilla@extra*"; ss -Hltn sport = :4399'),
    ).toBe('');
    await everyoneIsUp();
  });
});

describe('At the end', () => {
  test('uninstalling leaves data, and what the operator wrote', async () => {
    const own = '/etc/systemd/system/flotilla-offsite.service';
    await host.sh(`
      printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > ${own}
      systemctl daemon-reload; systemctl start flotilla-offsite`);

    const said = await step('uninstall');

    expect(said.match(/(?<=^keep ).*/gm)?.slice(-4)).toEqual([
      '/var/lib/flotilla',
      '/var/lib/private/flotilla',
      '/var/lib/flotilla-backups',
      '/etc/flotilla',
    ]);
    expect(
      await host.sh('ls -d /var/lib/*flotilla* /var/lib/private/*flotilla*'),
      'places of data that are not named',
    ).toBe('/var/lib/flotilla\n/var/lib/flotilla-backups\n/var/lib/private/flotilla');
    expect(await property('flotilla-offsite', 'ActiveState')).toBe('active');
    await host.sh(`systemctl stop flotilla-offsite; rm ${own}; systemctl daemon-reload`);

    const left = (await host.sh(inventory)).split('\n').filter((path) => !before.split('\n').includes(path));
    const kept =
      /^\/var\/lib\/(private|systemd\/timers|(private\/)?flotilla(-backups)?(\/.*)?)$|^\/etc\/flotilla(\/(memory\.env|backup-key))?$/;
    const tests = /^\/run\/(probe\.sh|planted@x\.service|enough|begun|dbus)/;
    expect(left.filter((path) => !kept.test(path) && !tests.test(path) && !path.startsWith('/run/'))).toEqual(
      [],
    );
    expect(left.filter((path) => path.startsWith('/run/') && path.includes('flotilla'))).toEqual([]);
    expect(left).toContain('/var/lib/flotilla/token');
    expect(await host.sh('systemctl list-units --plain --no-legend "flotilla*"')).toBe('');
    expect((await host.run('getent group flotilla')).code).not.toBe(0);
  });

  test('every step of the document has been taken', () => {
    expect(steps.size).toBeGreaterThan(5);
    expect([...steps.keys()].filter((name) => !taken.has(name))).toEqual([]);
  });
});

test('The units for an older systemd differ in what it lacks, and in nothing else', () => {
  for (const [name, text] of unitFiles(entries)) {
    const lines = text.split('\n');
    const old = withLauncher(text).split('\n');

    const gone = lines.filter((line) => !old.includes(line)).map((line) => line.split('=')[0]);
    const come = old.filter((line) => !lines.includes(line)).map((line) => line.split('=')[0]);

    const isProcess = /^flotilla@.*service$/.test(name);
    expect(
      gone.every((key) => ['OpenFile', 'ExecStart', 'RestrictAddressFamilies'].includes(key ?? '')),
    ).toBe(true);
    expect(come.every((key) => ['ExecStart', 'RestrictAddressFamilies'].includes(key ?? ''))).toBe(true);
    expect(gone.includes('OpenFile')).toBe(isProcess);
    expect(/RestrictAddressFamilies=.*AF_UNIX/.test(old.join('\n'))).toBe(
      /RestrictAddressFamilies=/.test(text) && (isProcess || /AF_UNIX/.test(text)),
    );
  }
});
