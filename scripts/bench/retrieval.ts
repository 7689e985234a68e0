/** Suite `retrieval`: how often a search in memories finds what answers a question. */
import { nowIso, openStore, readConversations, type Conversation } from './locomo.ts';
import { skippedSection, type BenchContext, type Section } from './section.ts';

const depths = [1, 5, 10, 20] as const;
/** Of an answer of ten hits, with so many turns before and after each. */
const shownDepth = 10;
const shownNeighbours = 2;

interface Outcome {
  /** The place of the first turn with evidence; Infinity where none was found. */
  readonly rank: number;
  readonly isShown: boolean;
}

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
        `at k is any turn that holds the evidence among the first k. It is shown where it is among the first ${shownDepth} or the ` +
        `${shownNeighbours} turns before and after each of them.`,
      columns: [
        { name: 'category' },
        { name: 'questions' },
        ...depths.map((depth) => ({ name: `R@${depth}`, digits: 3 })),
        { name: 'MRR', digits: 3 },
        { name: `shown@${shownDepth}`, digits: 3 },
      ],
      rows: qualityRows(outcomesOf(all, isSplit)),
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

/** For each question of each category. */
function outcomesOf(all: readonly Conversation[], isSplit: boolean): ReadonlyMap<number, Outcome[]> {
  const outcomes = new Map<number, Outcome[]>();
  const ids = new Map<string, number>();
  for (const group of isSplit ? all.map((one) => [one]) : [all]) {
    const { db, search, shown, add } = openStore(':memory:');
    db.transaction(() => {
      for (const { name, turns } of group) {
        for (const turn of turns) ids.set(`${name} ${turn.id}`, add(name, turn));
      }
    })();
    for (const { name, questions } of group) {
      for (const { text, category, evidence } of questions) {
        const wanted = new Set(
          evidence.map((id) => ids.get(`${name} ${id}`)).filter((id) => id !== undefined),
        );
        const { hits } = search({ query: text, project: name, limit: 1000, nowIso });
        const rank = hits.findIndex(({ id }) => wanted.has(id)) + 1;
        const first = hits.slice(0, shownDepth).map(({ id }) => id);
        const isShown = !shown(first, shownNeighbours).isDisjointFrom(wanted);
        outcomes.set(category, [...(outcomes.get(category) ?? []), { rank: rank || Infinity, isShown }]);
      }
    }
    db.close();
  }
  return outcomes;
}

function qualityRows(outcomes: ReadonlyMap<number, Outcome[]>): Section['rows'] {
  const byCategory = [...outcomes]
    .toSorted(([x], [y]) => x - y)
    .map(([category, found]) => qualityRow(categories[category] ?? String(category), found));
  return [...byCategory, qualityRow('all', [...outcomes.values()].flat())];
}

function qualityRow(label: string, outcomes: readonly Outcome[]): (string | number)[] {
  const mean = (value: (outcome: Outcome) => number) =>
    outcomes.reduce((sum, outcome) => sum + value(outcome), 0) / outcomes.length;
  return [
    label,
    outcomes.length,
    ...depths.map((depth) => mean(({ rank }) => (rank <= depth ? 1 : 0))),
    mean(({ rank }) => 1 / rank),
    mean(({ isShown }) => (isShown ? 1 : 0)),
  ];
}
