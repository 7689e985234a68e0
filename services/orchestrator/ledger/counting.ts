/** How many there are. */
import { noCounts, statuses, type Counts } from '../states.ts';
import { all, define, first, sql, type Ledger } from './query.ts';

const taskCounts = define()(({ db }) =>
  db
    .selectFrom('project_counts')
    .select(statuses.map((status) => sql<number | null>`sum(${sql.ref(status)})`.as(status))),
);

/** The sums of all projects, and of the tasks that have none. */
export function* countTasks(): Ledger<Counts> {
  const sums = yield* first(taskCounts, {});
  return Object.fromEntries(statuses.map((status) => [status, sums?.[status] ?? 0])) as Counts;
}

const projectCounts = define()(({ db }) =>
  db
    .selectFrom('project')
    .select(({ fn }) => ['status', fn.countAll<number>().as('count')])
    .groupBy('status'),
);

export function* countProjects(): Ledger<Counts> {
  const counts = { ...noCounts };
  for (const { status, count } of yield* all(projectCounts, {})) counts[status] = count;
  return counts;
}
