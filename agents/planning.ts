/** What can be told of a project from its tasks and from who could do them: order, the longest chain, who does what, and risks. Pure. */
import { z } from 'zod';

export const projectSchema = z.object({
  project_id: z.string(),
  name: z.string(),
  status: z.string(),
  percent: z.number(),
  counts: z.record(z.string(), z.number()),
  requirements: z.array(z.string()).default([]),
  tasks: z.array(
    z.object({
      task_id: z.string(),
      title: z.string(),
      type: z.string(),
      status: z.string(),
      priority: z.string(),
      requires: z.array(z.string()),
      deadline: z.string().optional(),
    }),
  ),
  edges: z.array(z.object({ task_id: z.string(), needs: z.string() })),
});
export type Project = z.output<typeof projectSchema>;

export const workersSchema = z.array(
  z.object({
    worker: z.string(),
    state: z.string(),
    capabilities: z.array(z.string()),
    most_tasks: z.number(),
    load: z.number(),
    metrics: z.object({ average_seconds: z.number().nullable() }).optional(),
  }),
);
export type Workers = z.output<typeof workersSchema>;

export interface Report {
  readonly summary: string;
  /** Tasks that can be done side by side, one group after the other. */
  readonly stages: readonly (readonly string[])[];
  /** The longest chain of tasks of which each needs the one before. */
  readonly critical_path: readonly { readonly task_id: string; readonly title: string }[];
  readonly assignments: readonly {
    readonly task_id: string;
    readonly title: string;
    readonly workers: readonly string[];
  }[];
  readonly risks: readonly { readonly kind: string; readonly task_id?: string; readonly words: string }[];
}

/** A task that so many need holds up much. */
const manyDependents = 5;

export function reportOf(project: Project, workers: Workers): Report {
  const { tasks, edges } = project;
  const known = new Map(tasks.map((task) => [task.task_id, task]));
  const needsOf = Map.groupBy(
    edges.filter(({ task_id: id, needs }) => known.has(id) && known.has(needs)),
    ({ task_id: id }) => id,
  );
  const depths = depthsOf(
    tasks.map(({ task_id: id }) => id),
    (id) => (needsOf.get(id) ?? []).map(({ needs }) => needs),
  );
  const present = workers.filter(({ state }) => state !== 'away');
  const able = (requires: readonly string[]) =>
    present.filter(({ capabilities }) => requires.every((one) => capabilities.includes(one)));
  const assignments = tasks
    .filter(({ status }) => !['completed', 'cancelled', 'failed'].includes(status))
    .map(({ task_id: id, title, requires }) => ({
      task_id: id,
      title,
      workers: able(requires).map(({ worker }) => worker),
    }));
  const criticalPath = chainOf(depths, (id) => (needsOf.get(id) ?? []).map(({ needs }) => needs)).map(
    (id) => ({
      task_id: id,
      title: known.get(id)?.title ?? '',
    }),
  );
  const stages = stagesOf(depths);
  const risks = risksOf(project, assignments);
  const { name, percent } = project;
  const summary = [
    `${name}: ${tasks.length} tasks in ${stages.length} stages, ${percent} % completed.`,
    `The longest chain has ${criticalPath.length} tasks: ${criticalPath.map(({ title }) => title).join(' → ')}.`,
    risks.length === 0
      ? 'No risks were found.'
      : `${risks.length} risks: ${risks.map(({ words }) => words).join(' ')}`,
  ].join(' ');
  return {
    summary: summary.slice(0, 8_000).toWellFormed(),
    stages,
    critical_path: criticalPath,
    assignments,
    risks,
  };
}

/** How many tasks have to come before each; the orchestrator has refused circles. */
function depthsOf(ids: readonly string[], needsOf: (id: string) => readonly string[]) {
  const depths = new Map<string, number>();
  // Not by calling itself: a chain may be as long as a project has tasks.
  const waiting = [...ids];
  while (waiting.length > 0) {
    const id = waiting.at(-1) ?? '';
    const open = depths.has(id) ? [] : needsOf(id).filter((one) => !depths.has(one));
    if (open.length > 0) {
      waiting.push(...open);
      continue;
    }
    waiting.pop();
    if (!depths.has(id)) depths.set(id, Math.max(-1, ...needsOf(id).map((one) => depths.get(one) ?? 0)) + 1);
  }
  return new Map(ids.map((id) => [id, depths.get(id) ?? 0]));
}

function stagesOf(depths: ReadonlyMap<string, number>): string[][] {
  const stages: string[][] = [];
  for (const [id, depth] of depths) (stages[depth] ??= []).push(id);
  return stages;
}

function chainOf(depths: ReadonlyMap<string, number>, needsOf: (id: string) => readonly string[]): string[] {
  const deepest = (ids: Iterable<string>) =>
    [...ids].toSorted((one, other) => (depths.get(other) ?? 0) - (depths.get(one) ?? 0))[0];
  const chain: string[] = [];
  for (let id = deepest(depths.keys()); id !== undefined; id = deepest(needsOf(id))) chain.unshift(id);
  return chain;
}

function risksOf({ tasks, edges, counts }: Project, assignments: Report['assignments']): Report['risks'] {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const dependents = Map.groupBy(edges, ({ needs }) => needs);
  const requires = new Map(tasks.map(({ task_id: id, requires: words }) => [id, words]));
  return [
    ...assignments.flatMap(({ task_id: id, title, workers }) => {
      if (workers.length > 1) return [];
      const [only] = workers;
      const words =
        only === undefined
          ? `Nobody who is here can do “${title}” (${(requires.get(id) ?? []).join(', ')}).`
          : `Only ${only} can do “${title}”.`;
      return [{ kind: only === undefined ? 'nobody' : 'one_worker', task_id: id, words }];
    }),
    ...tasks
      .filter(({ status }) => status === 'failed')
      .map(({ task_id: id, title }) => ({ kind: 'failed', task_id: id, words: `“${title}” has failed.` })),
    ...tasks.flatMap(({ task_id: id, title, status }) => {
      const count = dependents.get(id)?.length ?? 0;
      return count >= manyDependents && status !== 'completed'
        ? [{ kind: 'bottleneck', task_id: id, words: `${count} tasks wait for “${title}”.` }]
        : [];
    }),
    ...(total > tasks.length
      ? [{ kind: 'partial', words: `Only the first ${tasks.length} of ${total} tasks were looked at.` }]
      : []),
  ];
}
