/** Five tasks of several steps on a real fleet, each done by calls of tools and by one program: for `programs.ts`, and a test. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Json = Readonly<Record<string, any>>; // oxlint-disable-line typescript/no-explicit-any -- what tools answer is looked at field by field

/** Calls that do not wait for each other: one round trip. @returns what each answers as data */
export type Turn = (...calls: readonly (readonly [tool: string, args: Json])[]) => Promise<readonly Json[]>;

export interface Task {
  readonly title: string;
  /** By calls, as a model makes them who reads all answers. @returns the answer to the task */
  plain(turn: Turn, folder: string): Promise<string>;
  /** What is asked of `find_tools` before the program can be written. */
  readonly questions: readonly string[];
  /** It prints the same answer. */
  program(folder: string): string;
}

export const servicesOfTasks = ['memory', 'filesystem', 'git', 'python', 'sqlite', 'model-profile'] as const;

const entities = 45;
const planned = 30;
const commits = 25;
const decisions = 250;
const folders = ['server', 'client', 'shared'];
const filesEach = 8;
const people = ['Ada', 'Grace', 'Edsger', 'Barbara'];
const day = (number: number) => `2026-${String(1 + (number % 9)).padStart(2, '0')}-15`;
const projectName = (number: number) => `Project ${String(number).padStart(2, '0')}`;
const plannedNames = Array.from({ length: planned }, (_, at) => projectName(at + Math.floor(at / 2)));
const reportPath = (folder: string) => join(folder, 'report.md');
const models = ['model:first@1', 'model:second@1'] as const;

/** The same data for every way. `call` makes a call, and throws when it fails. */
export async function seedTasks(
  folder: string,
  call: (tool: string, args: Json) => Promise<Json>,
): Promise<void> {
  await call('create_entities', {
    entities: Array.from({ length: entities }, (_, number) => ({
      name: projectName(number),
      entityType: 'project',
      observations: [
        `owner: ${people[number % people.length]}`,
        `started: ${day(number)}`,
        `budget: ${1_000 + ((number * 7_919) % 9_000)}`,
        `It is about part ${number} of the catalogue, and waits for a review by the other team.`,
      ],
    })),
  });
  await call('create_entities', { entities: [{ name: 'Plan', entityType: 'plan', observations: [] }] });
  await call('add_memory', {
    messages: [0, 1, 2].map((part) => ({
      role: 'user',
      content: `in the plan: ${plannedNames.slice(10 * part, 10 * part + 10).join(', ')}`,
    })),
    project: 'plan',
  });
  writeTree(join(folder, 'tree'));
  const hashes = writeHistory(join(folder, 'repo'));
  await call('add_memory', {
    messages: hashes
      .filter((_, at) => at % 3 !== 0)
      .map((hash) => ({ role: 'user', content: `reviewed ${hash.slice(0, 10)}: it reads well.` })),
    project: 'reviews',
  });
  const database = join(folder, 'orders.db');
  await call('open_database', { path: database, create: true });
  await call('create_table', {
    query: 'CREATE TABLE orders (id INTEGER PRIMARY KEY, region TEXT, product TEXT, cents INTEGER)',
    database,
  });
  await call('bulk_insert', {
    table: 'orders',
    columns: ['region', 'product', 'cents'],
    rows: Array.from({ length: 600 }, (_, at) => [
      `region ${at % 6}`,
      `product ${Math.floor(at / 6) % 7}`,
      100 + ((at * 7_919) % 90_000),
    ]),
    database,
  });
  for (const [at, model] of models.entries()) {
    const [name = '', version = ''] = model.slice('model:'.length).split('@');
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await call('register_model', { name, version });
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await call('record_decisions', {
      decisions: Array.from({ length: decisions }, (_, number) => ({
        uid: `${name}-task-${number}`,
        model,
        task_type: 'review',
        time: `2026-11-01T00:${String(number % 60).padStart(2, '0')}:00Z`,
        outcome: (number * (at === 0 ? 7 : 11)) % 10 < 6 ? 1 : 0,
        source: 'code_check',
      })),
    });
  }
}

function writeTree(root: string): void {
  for (const [at, name] of folders.entries()) {
    mkdirSync(join(root, name), { recursive: true });
    for (let file = 0; file < filesEach; file += 1) {
      const number = at * filesEach + file;
      const lines = 20 + ((number * 37) % 240) + (number % 9 === 4 ? 500 : 0);
      const text = Array.from(
        { length: lines },
        (_, line) => `export const value${line} = compute(${line * number}); // part ${number}\n`,
      );
      writeFileSync(join(root, name, `part-${file}.ts`), text.join(''));
    }
  }
}

function writeHistory(repository: string): readonly string[] {
  mkdirSync(repository, { recursive: true });
  const git = (...args: string[]) =>
    execFileSync(
      'git',
      ['-C', repository, '-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', ...args],
      {
        encoding: 'utf8',
        env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
      },
    );
  git('init', '--quiet', '--initial-branch=main');
  // All commits at once: one process for each would take seconds.
  const history = Array.from({ length: commits }, (_, number) => {
    const message = `Part ${number}: change what was asked for\n\nIt was asked for by ${people[number % 4]}.\n`;
    const at = `Ada <ada@example.org> ${1_790_000_000 + number * 3_600} +0000`;
    const paths = [`part-${number % 4}.txt`, ...(number % 2 === 0 ? ['notes.txt'] : [])];
    const files = paths.map((path) => {
      const text = Array.from({ length: 12 }, (_, line) => `line ${line} of change ${number}\n`).join('');
      return `M 100644 inline ${path}\ndata ${text.length}\n${text}`;
    });
    return `commit refs/heads/main\ncommitter ${at}\ndata ${Buffer.byteLength(message)}\n${message}\n${files.join('\n')}\n`;
  });
  execFileSync('git', ['-C', repository, 'fast-import', '--quiet'], { input: history.join('') });
  return git('log', '--format=%H').trim().split('\n');
}

const rowsIn = (answer: Json | undefined, name: string): readonly Json[] => (answer?.[name] ?? []) as Json[];
const budgetIn = ({ observations }: Json): number =>
  Number((observations as string[]).find((text) => text.startsWith('budget: '))?.slice('budget: '.length));
const sumOf = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0);

type Outcomes = ReadonlyMap<string, number>;
const better = (a: Outcomes = new Map(), b: Outcomes = new Map()): number =>
  [...a].filter(([task, outcome]) => outcome > (b.get(task) ?? 0)).length;

export const tasks: readonly Task[] = [
  {
    title: 'read the 30 entities that notes name, sum an observation, and write the sum down',
    async plain(turn) {
      const [notes] = await turn(['list_memories', { project: 'plan' }]);
      const names = rowsIn(notes, 'memories').flatMap(({ text }) =>
        String(text).slice('in the plan: '.length).split(', '),
      );
      const [opened] = await turn(['open_nodes', { names }]);
      const total = sumOf(rowsIn(opened, 'entities').map(budgetIn));
      await turn([
        'add_observations',
        { observations: [{ entityName: 'Plan', contents: [`total: ${total}`] }] },
      ]);
      return `${total}`;
    },
    questions: ['list memories of a project', 'open entities by name', 'add an observation to an entity'],
    program: () => `
notes = fleet.list_memories(project="plan")["memories"]
names = [name for note in notes for name in note["text"][13:].split(", ")]
entities = fleet.open_nodes(names=names)["entities"]
total = sum(int(o[8:]) for e in entities for o in e["observations"] if o.startswith("budget: "))
fleet.add_observations(observations=[{"entityName": "Plan", "contents": [f"total: {total}"]}])
print(total)`,
  },
  {
    title: 'find the three largest files of a tree, and count their lines',
    async plain(turn, folder) {
      const root = join(folder, 'tree');
      const [top] = await turn(['list_directory', { path: root }]);
      const below = [...String(top?.['content']).matchAll(/\[DIR\] (\S+)/g)].map(([, name = '']) => name);
      const listed = await turn(
        ...below.map((name) => ['list_directory_with_sizes', { path: join(root, name) }] as const),
      );
      const sizes = listed.flatMap((one, at) =>
        [...String(one['content']).matchAll(/\[FILE\] (\S+)\s+([\d.]+) (B|KB)/g)].map(
          ([, name = '', size, unit]) => ({
            path: `${below[at]}/${name}`,
            bytes: Number(size) * (unit === 'KB' ? 1_024 : 1),
          }),
        ),
      );
      const largest = sizes.toSorted((a, b) => b.bytes - a.bytes).slice(0, 3);
      const lines = largest.map(() => 0);
      let cursors: (string | undefined)[] = largest.map(() => '');
      while (cursors.some((cursor) => cursor !== undefined)) {
        const open = [...cursors.entries()].filter(([, cursor]) => cursor !== undefined);
        // oxlint-disable-next-line no-await-in-loop -- page after page
        const pages = await turn(
          ...open.map(([at, cursor]) => {
            const path = join(root, largest[at]?.path ?? '');
            return ['read_text_file', { path, ...(cursor !== '' && { cursor }) }] as const;
          }),
        );
        cursors = largest.map(() => undefined);
        for (const [index, [at]] of open.entries()) {
          lines[at] = (lines[at] ?? 0) + String(pages[index]?.['content']).split('\n').length - 1;
          cursors[at] = pages[index]?.['next_cursor'] as string | undefined;
        }
      }
      return largest.map(({ path }, at) => `${path}: ${lines[at]}`).join('\n');
    },
    questions: ['list files of a folder with their sizes', 'read a text file'],
    program: (folder) => `
import re
root = ${JSON.stringify(join(folder, 'tree'))}
sizes = {}
for name in re.findall(r"\\[DIR\\] (\\S+)", fleet.list_directory_with_sizes(path=root)["content"]):
    text = fleet.list_directory_with_sizes(path=f"{root}/{name}")["content"]
    for file, size, unit in re.findall(r"\\[FILE\\] (\\S+)\\s+([\\d.]+) (B|KB)", text):
        sizes[f"{name}/{file}"] = float(size) * (1024 if unit == "KB" else 1)
for path in sorted(sizes, key=sizes.get, reverse=True)[:3]:
    lines, cursor = 0, None
    while True:
        page = fleet.read_text_file(path=f"{root}/{path}", cursor=cursor)
        lines += page["content"].count("\\n")
        cursor = page.get("next_cursor")
        if not cursor:
            break
    print(f"{path}: {lines}")`,
  },
  {
    title: 'which commits have no note of a review, and what files they changed',
    async plain(turn, folder) {
      const repository = join(folder, 'repo');
      const [log, notes] = await turn(
        ['git_log', { repo_path: repository, max_count: 100 }],
        ['list_memories', { project: 'reviews', limit: 100 }],
      );
      const reviewed = rowsIn(notes, 'memories').map(({ text }) => String(text).split(/[ :]/)[1] ?? '');
      const others = rowsIn(log, 'commits')
        .map(({ hash }) => String(hash))
        .filter((hash) => !reviewed.some((start) => hash.startsWith(start)));
      const shown = await turn(
        ...others.map((revision) => ['git_show', { repo_path: repository, revision }] as const),
      );
      return others
        .map((hash, at) => {
          const changed = [...String(shown[at]?.['content']).matchAll(/^diff --git a\/(\S+)/gm)];
          return `${hash.slice(0, 10)} ${changed.map(([, path]) => path).join(' ')}`;
        })
        .join('\n');
    },
    questions: ['commits of a repository', 'show a commit', 'list memories of a project'],
    program: (folder) => `
import re
repo = ${JSON.stringify(join(folder, 'repo'))}
notes = fleet.list_memories(project="reviews", limit=100)["memories"]
reviewed = {re.search(r"reviewed (\\w+)", note["text"])[1] for note in notes}
for commit in fleet.git_log(repo_path=repo, max_count=100)["commits"]:
    short = commit["hash"][:10]
    if short not in reviewed:
        text = fleet.git_show(repo_path=repo, revision=commit["hash"])["content"]
        print(short, *re.findall(r"^diff --git a/(\\S+)", text, re.M))`,
  },
  {
    title: 'aggregate a table, and write a report with shares',
    async plain(turn, folder) {
      const [answer] = await turn([
        'read_query',
        {
          query:
            'SELECT region, product, count(*) AS orders, sum(cents) AS cents FROM orders GROUP BY region, product ORDER BY cents DESC',
          database: join(folder, 'orders.db'),
        },
      ]);
      const rows = answer?.['rows'] as Json[];
      const total = sumOf(rows.map(({ cents }) => Number(cents)));
      const lines = rows.map(
        ({ region, product, orders, cents }) =>
          `| ${region} | ${product} | ${orders} | ${cents} | ${((100 * Number(cents)) / total).toFixed(2)} % |`,
      );
      const report = ['| region | product | orders | cents | share |', '|---|---|---|---|---|', ...lines];
      await turn(['write_file', { path: reportPath(folder), content: `${report.join('\n')}\n` }]);
      return `${rows.length} rows, ${total} cents`;
    },
    questions: ['query a SQLite database', 'write a file'],
    program: (folder) => `
query = "SELECT region, product, count(*) AS orders, sum(cents) AS cents FROM orders GROUP BY region, product ORDER BY cents DESC"
rows = fleet.read_query(query=query, database=${JSON.stringify(join(folder, 'orders.db'))})["rows"]
total = sum(row["cents"] for row in rows)
lines = ["| region | product | orders | cents | share |", "|---|---|---|---|---|"]
for row in rows:
    lines.append(f"| {row['region']} | {row['product']} | {row['orders']} | {row['cents']} | {100 * row['cents'] / total:.2f} % |")
fleet.write_file(path=${JSON.stringify(reportPath(folder))}, content="\\n".join(lines) + "\\n")
print(f"{len(rows)} rows, {total} cents")`,
  },
  {
    title: 'where two models differ, task by task',
    async plain(turn) {
      const histories: Json[][] = [[], []];
      let cursors: (string | undefined)[] = ['', ''];
      while (cursors.some((cursor) => cursor !== undefined)) {
        const open = [...cursors.entries()].filter(([, cursor]) => cursor !== undefined);
        // oxlint-disable-next-line no-await-in-loop -- page after page
        const pages = await turn(
          ...open.map(
            ([at, cursor]) =>
              [
                'get_decision_history',
                { model: models[at], limit: 100, ...(cursor !== '' && { cursor }) },
              ] as const,
          ),
        );
        cursors = [undefined, undefined];
        for (const [index, [at]] of open.entries()) {
          histories[at]?.push(...(pages[index]?.['decisions'] as Json[]));
          cursors[at] = pages[index]?.['next_cursor'] as string | undefined;
        }
      }
      const [first, second] = histories.map(
        (rows) =>
          new Map(rows.map(({ uid, outcome }) => [String(uid).split('-task-')[1] ?? '', Number(outcome)])),
      );
      return `${better(first, second)} only the first, ${better(second, first)} only the second`;
    },
    questions: ['decisions of a model with their outcomes'],
    program: () => `
def outcomes(model):
    found, cursor = {}, None
    while True:
        page = fleet.get_decision_history(model=model, limit=100, cursor=cursor)
        found.update((row["uid"].split("-task-")[1], row["outcome"]) for row in page["decisions"])
        cursor = page.get("next_cursor")
        if not cursor:
            return found

first, second = outcomes("${models[0]}"), outcomes("${models[1]}")
print(sum(first[task] > second[task] for task in first), "only the first,", sum(second[task] > first[task] for task in first), "only the second")`,
  },
];
