/** Suite `retrieval`: how often a search in memories finds what answers a question. */
import { nowIso, openStore, readConversations, type Conversation } from './locomo.ts';
import { skippedSection, type BenchContext, type Section } from './section.ts';

const depths = [1, 5, 10, 20] as const;
const categories = ['', 'multi-hop', 'temporal', 'open-domain', 'single-hop'];

const title = 'Retrieval';

export async function retrieval({ data, progress }: BenchContext): Promise<readonly Section[]> {
  if (data === undefined) return [skippedSection(title, 'it needs --data FILE in the format of LoCoMo')];
  const conversations = readConversations(data);
  const section = (arrangement: string, all: readonly Conversation[], isSplit: boolean): Section => {
    progress(`retrieval: ${arrangement}`);
    return {
      title: `${title}: ${arrangement}`,
      method:
        `${conversations.length} conversations of LoCoMo, questions of categories 1 to 4, no model and no network; a hit ` +
        `at k is any turn that holds the evidence among the first k.`,
      columns: [
        { name: 'category' },
        { name: 'questions' },
        ...depths.map((depth) => ({ name: `R@${depth}`, digits: 3 })),
        { name: 'MRR', digits: 3 },
      ],
      rows: qualityRows(ranksOf(all, isSplit)),
      chart: { column: 4 },
    };
  };
  return [
    section('one database for all, filtered by project', conversations, false),
    section('one database per conversation', conversations, true),
    section('text and image captions, one database for all', withCaptions(conversations), false),
  ];
}

function withCaptions(all: readonly Conversation[]): readonly Conversation[] {
  return all.map((conversation) => ({
    ...conversation,
    turns: conversation.turns.map((turn) => ({ ...turn, text: `${turn.text} ${turn.caption}`.trim() })),
  }));
}

/** The place of the first turn with evidence, for each question of each category; Infinity where none was found. */
function ranksOf(all: readonly Conversation[], isSplit: boolean): ReadonlyMap<number, number[]> {
  const ranks = new Map<number, number[]>();
  const ids = new Map<string, number>();
  for (const group of isSplit ? all.map((one) => [one]) : [all]) {
    const { db, search, add } = openStore(':memory:');
    db.transaction(() => {
      for (const { name, turns } of group) {
        for (const turn of turns) ids.set(`${name} ${turn.id}`, add(name, turn));
      }
    })();
    for (const { name, questions } of group) {
      for (const { text, category, evidence } of questions) {
        const wanted = new Set(evidence.map((id) => ids.get(`${name} ${id}`)));
        const { hits } = search({ query: text, project: name, limit: 1000, nowIso });
        const rank = hits.findIndex(({ id }) => wanted.has(id)) + 1;
        ranks.set(category, [...(ranks.get(category) ?? []), rank || Infinity]);
      }
    }
    db.close();
  }
  return ranks;
}

function qualityRows(ranks: ReadonlyMap<number, number[]>): Section['rows'] {
  const byCategory = [...ranks]
    .toSorted(([x], [y]) => x - y)
    .map(([category, found]) => qualityRow(categories[category] ?? String(category), found));
  return [...byCategory, qualityRow('all', [...ranks.values()].flat())];
}

function qualityRow(label: string, ranks: readonly number[]): (string | number)[] {
  const mean = (value: (rank: number) => number) =>
    ranks.reduce((sum, rank) => sum + value(rank), 0) / ranks.length;
  return [
    label,
    ranks.length,
    ...depths.map((depth) => mean((rank) => (rank <= depth ? 1 : 0))),
    mean((rank) => 1 / rank),
  ];
}
