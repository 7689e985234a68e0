/** Suite `scale`: what a search costs when there are many memories. */
import { mkdtempDisposableSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { nowIso, openStore, readConversations, type Conversation, type Turn } from './locomo.ts';
import { skippedSection, type BenchContext, type Section } from './section.ts';
import { percentile } from './statistics.ts';

const title = 'Search at scale';
const sampleSize = 400;
const sizesOf = {
  quick: [6_000],
  normal: [6_000, 25_000],
  full: [6_000, 25_000, 1_000_000],
} as const satisfies Record<BenchContext['depth'], readonly number[]>;

type Store = ReturnType<typeof openStore>;
type Request = Parameters<Store['search']>[0];

export async function scale({ depth, data, progress }: BenchContext): Promise<readonly Section[]> {
  if (data === undefined) return [skippedSection(title, 'it needs --data FILE in the format of LoCoMo')];
  const conversations = readConversations(data);
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-scale-'));
  const measured = sizesOf[depth].map((size) =>
    measureAt(size, conversations, join(folder.path, `${size}.db`), progress),
  );
  const timing = [
    { name: 'memories' },
    { name: 'search' },
    { name: 'p50 ms', digits: 2 },
    { name: 'p95 ms', digits: 2 },
  ];
  return [
    {
      title,
      method:
        `${sampleSize} questions of LoCoMo in the process, first ten hits each. The memories are ${conversations.length} ` +
        `conversations, and copies of them under other projects with the words of all turns of a copy permuted: words keep ` +
        `their frequency and no copy repeats another; one word in 50 is new, so that the vocabulary grows.`,
      columns: timing,
      rows: measured.flatMap(({ searches }) => searches),
    },
    {
      title: `${title}: writing`,
      method:
        'The same memories: time of one insert with its index, and what lies on disk (MB are 10^6 bytes).',
      columns: [
        { name: 'memories' },
        { name: 'projects' },
        { name: 'in bulk, p50 ms', digits: 3 },
        { name: 'with a commit each, p50 ms', digits: 3 },
        { name: 'file MB', digits: 1 },
        { name: 'index MB', digits: 1 },
      ],
      rows: measured.map(({ writing }) => writing),
    },
  ];
}

function measureAt(
  size: number,
  conversations: readonly Conversation[],
  file: string,
  progress: (line: string) => void,
): { readonly searches: Section['rows']; readonly writing: (string | number)[] } {
  const store = openStore(file);
  const random = randomNumbers(7);
  const { stored, copies, insertMs } = fill(store, size, conversations, random, progress);
  const singleMs = Array.from({ length: 200 }, (_, index) => {
    const turn = conversations[0]?.turns[index];
    return elapsedMs(() => {
      if (turn) store.db.transaction(() => store.add('one by one', turn))();
    });
  });
  store.db.pragma('wal_checkpoint(TRUNCATE)');
  const indexBytes =
    store.db
      .prepare<[string], number>('SELECT sum(pgsize) FROM dbstat WHERE name = ?')
      .pluck()
      .get('memory_posting') ?? 0;
  const writing = [
    String(stored),
    copies,
    percentile(insertMs, 0.5),
    percentile(singleMs, 0.5),
    statSync(file).size / 1e6,
    indexBytes / 1e6,
  ];

  progress(`scale: searching ${stored} memories`);
  const questions = conversations.flatMap(({ name, questions: asked }, index) =>
    asked.map(({ text }) => ({ query: text, project: `${name}-${index}` })),
  );
  const sample = Array.from(
    { length: sampleSize },
    () => questions[Math.floor(random() * questions.length)],
  ).filter((question) => question !== undefined);
  const month = { since: '2023-05', until: '2023-06' };
  const row = (
    label: string,
    requestOf: (question: { query: string; project: string }) => Partial<Request>,
  ) => {
    const times = sample.map((question) =>
      elapsedMs(() => store.search({ query: question.query, ...requestOf(question), limit: 10, nowIso })),
    );
    return [String(stored), label, percentile(times, 0.5), percentile(times, 0.95)];
  };
  const searches = [
    row('all projects', () => ({})),
    row('one project', ({ project }) => ({ project })),
    row('one project, a month', ({ project }) => ({ project, ...month })),
    row('all projects, a month', () => month),
  ];
  store.db.close();
  return { searches, writing };
}

function fill(
  { db, add }: Store,
  size: number,
  conversations: readonly Conversation[],
  random: () => number,
  progress: (line: string) => void,
): { readonly stored: number; readonly copies: number; readonly insertMs: readonly number[] } {
  const insertMs: number[] = [];
  let copies = 0;
  let stored = 0;
  while (stored < size) {
    const conversation = conversations[copies % conversations.length];
    if (!conversation) throw new Error('The file holds no conversations.');
    const project = `${conversation.name}-${copies}`;
    const turns =
      copies < conversations.length ? conversation.turns : shuffled(conversation.turns, copies, random);
    const transactionMs = elapsedMs(() =>
      db.transaction(() => turns.forEach((turn) => add(project, turn)))(),
    );
    insertMs.push(transactionMs / turns.length);
    stored += turns.length;
    copies += 1;
    if (copies % 50 === 0) progress(`scale: ${stored} of ${size} memories`);
  }
  return { stored, copies, insertMs };
}

function elapsedMs(work: () => unknown): number {
  const startedAtMs = performance.now();
  work();
  return performance.now() - startedAtMs;
}

function shuffled(turns: Turn[], copy: number, random: () => number): Turn[] {
  const all = turns.flatMap(({ text }) => text.split(' '));
  for (let i = all.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j] ?? '', all[i] ?? ''];
  }
  let next = 0;
  return turns.map((turn) => {
    const length = turn.text.split(' ').length;
    const text = all.slice(next, next + length).map((word) => (random() < 0.02 ? `${word}${copy}` : word));
    next += length;
    return { ...turn, text: text.join(' ') };
  });
}

/** Reproducible numbers from 0 to 1 (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
