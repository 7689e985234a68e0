import { createInterface } from 'node:readline';

import { beforeEach, expect, test, vi } from 'vitest';

import { runModule } from '../support/child.ts';
import { agents, receive, work, type Told } from '../../services/hub/engine/redis-kill.fixture.ts';
import { noRedis, startRedis } from '../../services/hub/engine/redis-server.fixture.ts';
import { start } from '../../services/hub/engine/messages.fixture.ts';
import { openHub } from '../../services/hub/engine/redis.fixture.ts';
import { isWhole } from '../support/trials.ts';

const trials = isWhole ? 20 : 1;

beforeEach((context) => {
  if (noRedis !== undefined) context.skip(noRedis);
});

/** What three hubs were told, whoever of them. */
function ledger() {
  const sent = new Set<string>();
  const got = new Set<string>();
  const settled: string[] = [];
  return {
    sent,
    got,
    settled,
    hear: (told: Told) => {
      for (const id of told.sent ?? []) sent.add(id);
      for (const one of told.got ?? []) got.add(one);
      settled.push(...(told.settled ?? []));
    },
  };
}

test.each(
  ['a hub', 'Redis'].flatMap((victim) =>
    Array.from({ length: trials }, (_, trial) => [victim, trial] as const),
  ),
)(
  'three hubs share one Redis, and %s is killed in the middle: nothing that was acknowledged is lost (trial %i)',
  async (victim, _trial) => {
    await using server = await startRedis(['--appendfsync', 'always']);
    const { sent, got, settled, hear } = ledger();
    const controller = new AbortController();
    const hubs = ['two', 'three'].map(async (name) => work(server.url, name, hear, controller.signal));
    await using child = runModule(
      "import { work } from './services/hub/engine/redis-kill.fixture.ts';" +
        "await work(process.argv[1], 'one', (told) => console.log(JSON.stringify(told)));",
      server.url,
    );
    createInterface({ input: child.process.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      // The last one may be cut off.
      if (line.endsWith('}')) hear(JSON.parse(line) as Told);
    });
    const enough = async (from: number, which: RegExp) =>
      vi.waitFor(() => expect([...sent].filter((id) => which.test(id)).length).toBeGreaterThan(from), {
        timeout: 60_000,
      });

    await enough(100 + Math.random() * 200, /^one/);
    if (victim === 'Redis') {
      await server.kill();
      await server.start();
    } else await child.kill();
    await enough(sent.size + 100, /./);
    await child.kill();
    controller.abort();
    await Promise.all(hubs);

    await using hub = await openHub(server.url);
    const { engine } = hub;
    const later = start + 100_000;
    while ((await engine.sweep(later, 99)).isMore);
    for (const agent of agents) while ((await receive(engine, agent, hear, later)) > 0);

    // Each message that was acknowledged is in the log, and each mailbox that it went to has given it out.
    const log = new Map<string, number>();
    for (let from = 0; ;) {
      const page = await engine.read({ from, backwards: false, most: 1_000 });
      for (const { seq, envelope } of page) log.set(envelope.id, seq);
      const last = page.at(-1);
      if (!last) break;
      from = last.seq;
    }
    expect([...sent].filter((id) => !log.has(id))).toEqual([]);
    const receivers = (id: string) => agents.slice(0, 1 + (Number(id.split('-').at(-1)) % 3));
    const due = [...log.keys()].flatMap((id) => receivers(id).map((agent) => `${agent} ${id}`));
    // What the killed process was told last may not have reached us: it is known from the log alone.
    const states = new Map<string, string>();
    for (const [id, seq] of log)
      for (const { agent, state } of await engine.deliveries(seq)) states.set(`${agent} ${id}`, state);
    expect(due.filter((one) => states.get(one) !== 'acknowledged')).toEqual([]);
    expect(states.size).toBe(due.length);
    const untold = due.filter((one) => !got.has(one));
    expect(untold.length).toBeLessThanOrEqual(20 * agents.length);
    // No delivery was acknowledged twice.
    expect(settled.length).toBe(new Set(settled).size);
    expect(await engine.loads(agents)).toEqual([0, 0, 0]);
    process.stdout.write(
      `${victim} killed: ${sent.size} sent, ${log.size} in the log, ${due.length} delivered\n`,
    );
  },
);
