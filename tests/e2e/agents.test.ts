/** Seven agents, each a process, and a project that takes all of them. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { agents } from '#config/catalogue.ts';
import { firstTokenFile } from '#runtime/access/tokens.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { run, RunningFleet, type Settings } from '../support/fleet.ts';
import { temporaryFolder } from '../support/serve.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- read field by field
type Json = any;

const stack = new AsyncDisposableStack();
let settings: Settings;
let work: string;
let api: string;
let token: string;

async function rest(method: 'GET' | 'POST', path: string, body?: object): Promise<Json> {
  const answer = await fetch(`${api}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  const { data, errors } = (await answer.json()) as Json;
  expect(errors).toEqual([]);
  return data;
}

/** Of the fleet, by its own note. */
function pidOf(name: string): number {
  const note = readFileSync(join(settings['FLOTILLA_DATA'] ?? '', 'fleet.json'), 'utf8');
  const { processes } = JSON.parse(note) as { processes: Record<string, number> };
  return processes[name] ?? 0;
}

beforeAll(async () => {
  const folder = stack.use(temporaryFolder());
  const offset = await freePortOffset();
  settings = {
    FLOTILLA_DATA: join(folder.path, 'data'),
    FLOTILLA_PORT_OFFSET: String(offset),
    FLOTILLA_AGENT_INTEGRATION_LOOK_SECONDS: '1',
  };
  work = join(folder.path, 'work');
  mkdirSync(work);
  const services = ['gateway', 'orchestrator', 'filesystem', 'git', 'python', 'sqlite'];
  const names = [...services, ...agents.map(({ name }) => name)].join(',');
  const fleet = stack.use(new RunningFleet(['--only', names, '--root', work], settings));
  await fleet.said(/13 of 13 ready/);
  token = readFileSync(firstTokenFile(settings['FLOTILLA_DATA'] ?? ''), 'utf8').trim();
  api = `http://127.0.0.1:${8_000 + offset}/api/v1`;
});
afterAll(async () => stack.disposeAsync());

test('status shows agents that run, as any process', () => {
  const { stdout, code } = run(['status'], settings);

  for (const { name } of agents) expect(stdout).toMatch(new RegExp(`^${name} +\\d+ .*● up$`, 'm'));
  expect(stdout).not.toContain('✕');
  expect(code).toBe(0);
});

test('one request makes a project that seven agents carry out, also when one of them and the gateway are killed', async () => {
  const repo = join(work, 'repo');
  const database = join(work, 'shop.db');
  const marker = join(work, 'deploying');
  const project = await rest('POST', '/projects', {
    name: 'Shop',
    tasks: [
      { key: 'plan', title: 'Plan the shop', type: 'planning', requires: ['planning'] },
      {
        key: 'schema',
        title: 'Make the table',
        type: 'database',
        requires: ['database', 'sql'],
        depends_on: ['plan'],
        steps: [
          { tool: 'open_database', arguments: { path: database, create: true } },
          {
            tool: 'write_query',
            arguments: { database, query: 'CREATE TABLE product (name TEXT, price INTEGER)' },
          },
          {
            tool: 'write_query',
            arguments: { database, query: 'INSERT INTO product VALUES (?, ?)', params: ['tea', 42] },
          },
          {
            tool: 'read_query',
            arguments: { database, query: 'SELECT name, price FROM product' },
            save_as: 'products',
          },
        ],
      },
      {
        key: 'repo',
        title: 'Make the repository',
        type: 'integration',
        requires: ['integration', 'git'],
        depends_on: ['plan'],
        steps: [
          { tool: 'git_init', arguments: { repo_path: repo } },
          {
            tool: 'git_commit',
            arguments: { repo_path: repo, message: '{{task.title}}', allow_empty: true },
          },
        ],
      },
      {
        key: 'api',
        title: 'Compute the price',
        type: 'backend',
        requires: ['backend', 'python'],
        depends_on: ['schema', 'repo'],
        steps: [
          {
            tool: 'run_python_code',
            arguments: {
              python_code: 'rows[0]["price"] * 2',
              global_variables: { rows: '{{needs.schema.saved.products.rows}}' },
            },
            save_as: 'double',
          },
          {
            tool: 'write_file',
            arguments: { path: join(work, 'price.txt'), content: 'Two cost {{double.return_value}}.\n' },
          },
        ],
      },
      {
        key: 'page',
        title: 'Write the page',
        type: 'frontend',
        requires: ['frontend', 'react'],
        depends_on: ['schema', 'repo'],
        steps: [
          {
            tool: 'write_file',
            arguments: {
              path: join(work, 'page.html'),
              content: '<h1>{{needs.schema.saved.products.rows.0.name}}</h1>{{ untouched }}\\{{this.too}}\n',
            },
          },
        ],
      },
      {
        key: 'deploy',
        title: 'Bring it out',
        type: 'devops',
        requires: ['devops'],
        depends_on: ['api', 'page'],
        repository: { path: repo, base: 'main', integration: 'auto' },
        steps: [
          { tool: 'read_text_file', arguments: { path: join(work, 'price.txt') }, save_as: 'price' },
          {
            tool: 'write_file',
            arguments: { path: '{{place.path}}/price.txt', content: '{{price.content}}' },
          },
          { tool: 'append_file', arguments: { path: marker, content: 'begun\n' } },
          // Long in the first attempt, which is killed at it.
          { tool: 'read_text_file', arguments: { path: marker }, save_as: 'begun' },
          {
            tool: 'run_python_code',
            arguments: {
              python_code: 'import time\nif begun.count("begun") < 2: time.sleep(600)\nbegun.count("begun")',
              global_variables: { begun: '{{begun.content}}' },
              timeout_ms: 600_000,
            },
            save_as: 'attempt',
          },
        ],
      },
      {
        key: 'test',
        title: 'Test what was brought out',
        type: 'qa',
        requires: ['qa', 'testing'],
        depends_on: ['deploy'],
        steps: [
          // There by the merge alone.
          { tool: 'read_text_file', arguments: { path: join(repo, 'price.txt') }, save_as: 'price' },
          {
            tool: 'run_python_code',
            arguments: {
              python_code: 'assert "84" in text, text\n"well"',
              global_variables: { text: '{{price.content}}' },
            },
            save_as: 'verdict',
          },
        ],
      },
    ],
  });

  const tasksNow = async (): Promise<Json[]> => rest('GET', `/projects/${project.project_id}/tasks`);
  /** @throws Error at once when a task fails: the rest would wait for it. */
  async function until(isSo: (tasks: readonly Json[]) => boolean): Promise<void> {
    for (;;) {
      // The gateway may be gone: it is killed too.
      const found = await tasksNow().catch((error: unknown) => {
        if (!(error instanceof TypeError)) throw error;
        return [];
      });
      const failed = found.filter(({ status }: Json) => status === 'failed');
      if (failed.length > 0) throw new Error(JSON.stringify(failed));
      if (found.length > 0 && isSo(found)) return;
      await sleep(100);
    }
  }
  await until(
    (found) =>
      found.some(({ key, status }: Json) => key === 'deploy' && status === 'in_progress') &&
      existsSync(marker),
  );
  const killed = pidOf('agent-devops');
  process.kill(killed, 'SIGKILL');
  process.kill(pidOf('gateway'), 'SIGKILL');
  await until((found) => found.every(({ status }: Json) => status === 'completed'));

  const tasks = await Promise.all(
    (await tasksNow()).map(async ({ task_id: id }: Json) => rest('GET', `/tasks/${id}`)),
  );
  const doneBy = new Map(
    tasks.map(({ key, attempts }: Json) => [
      key,
      attempts.filter(({ outcome }: Json) => outcome === 'completed').map(({ worker }: Json) => worker),
    ]),
  );
  expect(Object.fromEntries(doneBy)).toEqual({
    plan: ['agent-manager'],
    schema: ['agent-database'],
    repo: ['agent-integration'],
    api: ['agent-backend'],
    page: ['agent-frontend'],
    deploy: ['agent-devops'],
    test: ['agent-qa'],
  });
  const result = (key: string) => tasks.find((task: Json) => task.key === key).result;
  expect(readFileSync(join(work, 'price.txt'), 'utf8')).toBe('Two cost 84.\n');
  expect(readFileSync(join(work, 'page.html'), 'utf8')).toBe('<h1>tea</h1>{{ untouched }}{{this.too}}\n');
  expect(result('plan').critical_path.map(({ title }: Json) => title)).toEqual([
    'Plan the shop',
    expect.stringMatching(/^Make the /),
    expect.stringMatching(/^(Compute the price|Write the page)$/),
    'Bring it out',
    'Test what was brought out',
  ]);
  expect(result('test').saved.verdict.return_value).toBe('"well"');

  // The killed one began it, and came again; each task ended once.
  expect(pidOf('agent-devops')).not.toBe(killed);
  const deploy = tasks.find((task: Json) => task.key === 'deploy');
  expect(deploy.attempts.map(({ outcome }: Json) => outcome)).toEqual(['completed', 'failed']);
  expect(deploy.git.merged.merged_by).toBe('agent-integration');
  const { events } = await rest('GET', `/events/history?project_id=${project.project_id}&limit=200`);
  const completed = events.filter(({ type }: Json) => type === 'task_completed');
  expect(new Set(completed.map(({ task_id: id }: Json) => id)).size).toBe(tasks.length);
  expect(completed).toHaveLength(tasks.length);
});
