import { describe, expect, test } from 'vitest';

import { projectSchema, reportOf, workersSchema } from './planning.ts';

const task = (id: string, requires: string[], status = 'pending') => ({
  task_id: id,
  title: `Do ${id}`,
  type: 'generic',
  status,
  priority: 'medium',
  requires,
});
const worker = (name: string, capabilities: string[], state = 'free') => ({
  worker: name,
  state,
  capabilities,
  most_tasks: 3,
  load: 0,
});
const project = (tasks: object[], needs: [string, string][], more: object = {}) =>
  projectSchema.parse({
    project_id: 'p1-aaaa',
    name: 'Shop',
    status: 'pending',
    percent: 0,
    counts: { pending: tasks.length },
    tasks,
    edges: needs.map(([id, other]) => ({ task_id: id, needs: other })),
    ...more,
  });

describe('the report of a project', () => {
  const diamond = project(
    [task('a', ['sql']), task('b', ['web']), task('c', ['go']), task('d', ['web', 'sql'])],
    [
      ['b', 'a'],
      ['c', 'a'],
      ['d', 'b'],
      ['d', 'c'],
    ],
  );
  const workers = workersSchema.parse([
    worker('ada', ['sql', 'web']),
    worker('ben', ['web']),
    worker('cyd', ['go'], 'away'),
  ]);

  test('puts tasks that can be done side by side into one stage, and names the longest chain', () => {
    const { stages, critical_path: path, summary } = reportOf(diamond, workers);

    expect(stages).toEqual([['a'], ['b', 'c'], ['d']]);
    expect(path.map(({ task_id: id }) => id)).toEqual(['a', 'b', 'd']);
    expect(summary).toContain('Shop: 4 tasks in 3 stages, 0 % completed.');
  });

  test('says who is here and can do what, and which task nobody or one alone can do', () => {
    const { assignments, risks } = reportOf(diamond, workers);

    expect(assignments.map(({ workers: able }) => able)).toEqual([['ada'], ['ada', 'ben'], [], ['ada']]);
    expect(risks.map(({ kind, task_id: id }) => [kind, id])).toEqual([
      ['one_worker', 'a'],
      ['nobody', 'c'],
      ['one_worker', 'd'],
    ]);
    expect(risks[1]?.words).toBe('Nobody who is here can do “Do c” (go).');
  });

  test('names what has failed, what holds up many, and that not all tasks were looked at', () => {
    const many = ['b', 'c', 'd', 'e', 'f'];
    const found = reportOf(
      project(
        [task('a', []), ...many.map((id) => task(id, [], id === 'b' ? 'failed' : 'blocked'))],
        many.map((id) => [id, 'a']),
        { counts: { pending: 1, blocked: 300 } },
      ),
      workers,
    );

    expect(found.risks.map(({ kind }) => kind)).toEqual(['failed', 'bottleneck', 'partial']);
    expect(found.assignments.map(({ task_id: id }) => id)).not.toContain('b');
  });

  test('of a chain as long as a project is made without going deep', () => {
    const ids = Array.from({ length: 10_000 }, (_, at) => `t${at}`);
    const { critical_path: path } = reportOf(
      project(
        ids.map((id) => task(id, [])),
        ids.slice(1).map((id, at) => [id, `t${at}`]),
      ),
      workers,
    );

    expect(path).toHaveLength(ids.length);
  });

  test('of a project without tasks is short', () => {
    expect(reportOf(project([], []), [])).toMatchObject({ stages: [], critical_path: [], risks: [] });
  });
});
