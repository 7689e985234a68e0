// Measures the retrieval of the memory service: quality on a file in the format of LoCoMo (which is not part of
// the project: licence CC BY-NC 4.0), speed on copies of its conversations.
//
//   node tests/bench/retrieval.ts locomo.json --scale 6000,25000,1000000
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { z } from 'zod';

import { openDatabase } from '#runtime/database.ts';

import { MemorySearch } from '../../services/memory/search.ts';

const turnSchema = z.object({
  dia_id: z.string(),
  text: z.string(),
  speaker: z.string(),
  blip_caption: z.string().default(''),
});
const sampleSchema = z.object({
  sample_id: z.string(),
  conversation: z.record(z.string(), z.unknown()),
  qa: z.array(
    z.object({ question: z.string(), category: z.number(), evidence: z.array(z.string()).default([]) }),
  ),
});

interface Turn {
  id: string;
  text: string;
  caption: string;
  speaker: string;
  session: string;
  occurredAt: string;
}

interface Question {
  text: string;
  category: number;
  evidence: string[];
}

interface Conversation {
  name: string;
  turns: Turn[];
  questions: Question[];
}

const nowIso = '2100-01-01T00:00:00.000Z';
const migrations = fileURLToPath(new URL('../../services/memory/migrations', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { scale: { type: 'string', default: '6000,25000' } },
});
const [path] = positionals;
if (!path) {
  throw new Error('Usage: node tests/bench/retrieval.ts locomo.json [--scale 6000,25000,1000000]');
}
const conversations = readConversations(path);
const directory = mkdtempSync(join(tmpdir(), 'flotilla-retrieval-'));
try {
  reportQuality('text, one database for all, filtered by project', conversations, false);
  reportQuality('text, one database per conversation', conversations, true);
  reportQuality('text and image captions, one database for all', withCaptions(conversations), false);
  for (const scale of values.scale.split(',').map(Number)) {
    reportSpeed(scale);
  }
} finally {
  rmSync(directory, { recursive: true });
}

function readConversations(file: string): Conversation[] {
  return z
    .array(sampleSchema)
    .parse(JSON.parse(readFileSync(file, 'utf8')))
    .map(({ sample_id, conversation, qa }) => {
      const sessions = Object.keys(conversation)
        .filter((key) => /^session_\d+$/.test(key))
        .toSorted((x, y) => Number(x.slice(8)) - Number(y.slice(8)));
      const turns = sessions.flatMap((session) => {
        const [time, day] = z.string().parse(conversation[`${session}_date_time`]).split(' on ');
        const occurredAt = new Date(`${day} ${time} UTC`).toISOString();
        return z
          .array(turnSchema)
          .parse(conversation[session])
          .map(({ dia_id, text, blip_caption, speaker }) => ({
            id: dia_id,
            text,
            caption: blip_caption,
            speaker,
            session,
            occurredAt,
          }));
      });
      const questions = qa
        .filter(({ category, evidence }) => category < 5 && evidence.length > 0)
        .map(({ question, category, evidence }) => ({
          text: question,
          category,
          // Some entries hold several ids, separated by blanks or semicolons.
          evidence: evidence.flatMap((entry) => entry.match(/D\d+:\d+/g) ?? []),
        }));
      return { name: sample_id, turns, questions };
    });
}

function withCaptions(all: Conversation[]): Conversation[] {
  return all.map((conversation) => ({
    ...conversation,
    turns: conversation.turns.map((turn) => ({ ...turn, text: `${turn.text} ${turn.caption}`.trim() })),
  }));
}

function openStore(file: string) {
  const db = openDatabase(file, migrations);
  db.exec("INSERT INTO change (id, at, caller, tool) VALUES (1, '', '', '')");
  const search = new MemorySearch(db);
  const insert = db.prepare(
    `INSERT INTO memory (text, project, session, speaker, occurred_at, created_at, valid_from, memory_id)
     VALUES (?, ?, ?, ?, ?, ?, 1, (SELECT coalesce(max(id), 0) + 1 FROM memory))`,
  );
  const add = (project: string, turn: Turn): number => {
    const { text, session, speaker, occurredAt } = turn;
    const id = Number(insert.run(text, project, session, speaker, occurredAt, occurredAt).lastInsertRowid);
    search.indexMemory({ id, text, project, speaker, tags: [] });
    return id;
  };
  return { db, search, add };
}

function reportQuality(title: string, all: Conversation[], isSplit: boolean): void {
  const ranks = new Map<number, number[]>();
  let store = openStore(':memory:');
  const ids = new Map<string, number>();
  for (const conversation of all) {
    if (isSplit) {
      store.db.close();
      store = openStore(':memory:');
    }
    store.db.transaction(() => {
      for (const turn of conversation.turns) {
        ids.set(`${conversation.name} ${turn.id}`, store.add(conversation.name, turn));
      }
    })();
    if (isSplit) {
      measure(conversation);
    }
  }
  if (!isSplit) {
    all.forEach(measure);
  }
  store.db.close();

  function measure({ name, questions }: Conversation): void {
    progress(`${title}: ${name}`);
    for (const { text, category, evidence } of questions) {
      const wanted = new Set(evidence.map((id) => ids.get(`${name} ${id}`)));
      const { hits } = store.search.searchMemories({ query: text, project: name, limit: 1000, nowIso });
      const rank = hits.findIndex(({ id }) => wanted.has(id)) + 1;
      ranks.set(category, [...(ranks.get(category) ?? []), rank || Infinity]);
    }
  }

  print(`\n${title}\n| category | n | R@1 | R@5 | R@10 | R@20 | MRR |\n|---|---|---|---|---|---|---|`);
  const names = ['', 'multi-hop', 'temporal', 'open-domain', 'single-hop'];
  for (const [category, found] of [...ranks].toSorted(([x], [y]) => x - y)) {
    print(qualityLine(names[category] ?? String(category), found));
  }
  print(qualityLine('all', [...ranks.values()].flat()));
}

function qualityLine(label: string, ranks: number[]): string {
  const mean = (value: (rank: number) => number) =>
    (ranks.reduce((sum, rank) => sum + value(rank), 0) / ranks.length).toFixed(3);
  const recalls = [1, 5, 10, 20].map((k) => mean((rank) => (rank <= k ? 1 : 0)));
  return `| ${[label, ranks.length, ...recalls, mean((rank) => 1 / rank)].join(' | ')} |`;
}

// Copies of the conversations under other projects, with the words of every turn permuted among the turns of its
// copy: the vocabulary keeps its distribution, no copy repeats another. A share of new words grows the vocabulary
// as Heaps' law has it.
function reportSpeed(scale: number): void {
  const file = join(directory, `${scale}.db`);
  const { db, search, add } = openStore(file);
  const random = randomNumbers(7);
  const insertMs: number[] = [];
  let copies = 0;
  let stored = 0;
  while (stored < scale) {
    const conversation = conversations[copies % conversations.length];
    const project = `${conversation?.name}-${copies}`;
    const turns =
      copies < conversations.length
        ? (conversation?.turns ?? [])
        : shuffled(conversation?.turns ?? [], copies, random);
    const started = performance.now();
    db.transaction(() => turns.forEach((turn) => add(project, turn)))();
    insertMs.push((performance.now() - started) / turns.length);
    stored += turns.length;
    copies += 1;
    if (copies % 50 === 0) {
      progress(`${scale}: ${stored} memories`);
    }
  }
  const single = Array.from({ length: 200 }, (_, i) => {
    const turn = conversations[0]?.turns[i];
    const started = performance.now();
    if (turn) {
      db.transaction(() => add('one by one', turn))();
    }
    return performance.now() - started;
  });
  db.pragma('wal_checkpoint(TRUNCATE)');
  const bytes = (name: string) =>
    db.prepare<[string], number>('SELECT sum(pgsize) FROM dbstat WHERE name = ?').pluck().get(name) ?? 0;
  print(
    `\n${stored} memories in ${copies} projects: file ${megabytes(statSync(file).size)}, index ${megabytes(bytes('memory_posting'))}; ` +
      `insert ${percentiles(insertMs)} in bulk, ${percentiles(single)} with a commit each`,
  );

  const questions = conversations.flatMap(({ name, questions: asked }, i) =>
    asked.map(({ text }) => ({ query: text, project: `${name}-${i}` })),
  );
  const sample = Array.from({ length: 400 }, () => questions[Math.floor(random() * questions.length)]).filter(
    (q) => q !== undefined,
  );
  print(`all projects: ${percentiles(sample.map(({ query }) => timeOf({ query })))}`);
  print(`one project: ${percentiles(sample.map(timeOf))}`);
  print(
    `one project, a month: ${percentiles(sample.map((q) => timeOf({ ...q, since: '2023-05', until: '2023-06' })))}`,
  );
  print(
    `all projects, a month: ${percentiles(sample.map(({ query }) => timeOf({ query, since: '2023-05', until: '2023-06' })))}`,
  );
  db.close();

  function timeOf(request: { query: string; project?: string; since?: string; until?: string }): number {
    const started = performance.now();
    search.searchMemories({ ...request, limit: 10, nowIso });
    return performance.now() - started;
  }
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

function percentiles(milliseconds: number[]): string {
  const sorted = milliseconds.toSorted((x, y) => x - y);
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(2);
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms`;
}

function megabytes(size: number): string {
  return `${(size / 1e6).toFixed(1)} MB`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
