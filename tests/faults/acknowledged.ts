/** What each service acknowledges and must still have after a power cut, a kill or a full disk. A service joins with one entry. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { catalogue, type ProcessName } from '#config/catalogue.ts';
import { isWhole } from '../support/trials.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- tools of every service answer here
export type Answer = Readonly<Record<string, any>>;
export type ToolCall = readonly [tool: string, args: Readonly<Record<string, unknown>>];

/** A write that was acknowledged: its own text, and the tool's structured answer. */
export interface Written {
  readonly text: string;
  readonly answer: Answer;
}

/** One way to write. Writes come in series, which are read back one by one and removed as a whole. */
export interface AcknowledgedWrite {
  /** Stores `text`, which no other write has. `earlier` are those of the same series. */
  readonly write: (text: string, earlier: readonly Written[]) => ToolCall;
  /** Its answer contains the text while the write is there; its arguments must not be what puts it there. */
  readonly read: (written: Written) => ToolCall;
  /** Left out where no tool removes a whole series at once. */
  readonly remove?: (series: readonly Written[]) => ToolCall;
}

/** Lines of a series have a service of their own. */
const seriesName = (text: string) => `series ${text.slice(0, 100)}`;

export const acknowledgedWrites: { readonly [Name in ProcessName]?: readonly AcknowledgedWrite[] } = {
  memory: [
    {
      write: (text) => ['add_memory', { text }],
      read: ({ answer }) => ['get_memory', { id: answer['ids'][0] }],
      remove: (series) => ['delete_memories', { ids: series.map(({ answer }) => answer['ids'][0]) }],
    },
    {
      write: (text) => [
        'create_entities',
        { entities: [{ name: text, entityType: 'trial', observations: ['was acknowledged'] }] },
      ],
      read: ({ text }) => ['open_nodes', { names: [text] }],
      remove: (series) => ['delete_entities', { entityNames: series.map(({ text }) => text) }],
    },
  ],
  hub: [
    {
      // An agent that writes to itself.
      write: (text, [agent]) =>
        agent
          ? ['send_message', { from: agent.text, to: [agent.text], body: { text } }]
          : ['register_agent', { name: text }],
      read: ({ text, answer: { id, delivered_to } }) =>
        id ? ['get_message', { from: delivered_to[0], id }] : ['list_agents', { name: text }],
    },
    {
      // An agent, and topics that it listens to.
      write: (text, [agent]) =>
        agent
          ? ['subscribe_topic', { agent: agent.text, topic: `${agent.text}.${text}` }]
          : ['register_agent', { name: text }],
      read: ({ text, answer: { topic } }) =>
        topic ? ['list_subscriptions', { agent: topic.split('.')[0] }] : ['list_agents', { name: text }],
      remove: ([agent]) => ['unregister_agent', { name: agent?.text }],
    },
  ],
  orchestrator: [
    {
      // A project, and tasks of it.
      write: (description, [project]) =>
        project
          ? [
              'create_tasks',
              {
                project_id: project.answer['project'].project_id,
                tasks: [{ title: 'trial', description }],
              },
            ]
          : ['create_project', { name: 'trial', description, tasks: [] }],
      read: ({ answer: { project, tasks } }) =>
        project
          ? ['get_project', { project_id: project.project_id }]
          : ['get_task', { task_id: tasks[0].task_id }],
    },
  ],
  'comparative-intelligence': [
    {
      write: (text) => ['record_battles', { battles: [{ model_a: text, model_b: 'other', winner: 'tie' }] }],
      read: ({ text }) => ['rank_models', { models: [text, 'other'] }],
    },
  ],
  logging: [
    {
      write: (text, earlier) => [
        'write_log',
        { message: text, service: seriesName(earlier[0]?.text ?? text) },
      ],
      read: ({ text }) => ['search_logs', { regex: text.replaceAll(/\W/g, '.') }],
      remove: ([first]) => ['purge_logs', { service: seriesName(first?.text ?? ''), confirm: true }],
    },
  ],
  'reasoning-capture': [
    {
      write: (content, [chain]) =>
        chain
          ? ['capture_reasoning_step', { chain_id: chain.answer['chain_id'], content }]
          : ['start_chain', { model: 'trial', goal: content }],
      read: ({ answer }) => [
        'get_reasoning_chain',
        { chain_id: answer['chain_id'], from_seq: answer['seq'] ?? 1, limit: 1 },
      ],
    },
  ],
  'model-profile': [
    {
      // A model, and decisions of it.
      write: (text, [model]) =>
        model
          ? ['record_decision', { uid: text.slice(0, 200), model: model.answer['model'], chosen: text }]
          : ['register_model', { name: text.slice(0, 100), note: text }],
      read: ({ answer: { model, change } }) =>
        model
          ? ['get_profile', { model }]
          : ['get_decision_history', { after_change: Number(change) - 1, limit: 1 }],
    },
  ],
  'sequential-thinking': [
    {
      write: (thought, earlier) => [
        'sequentialthinking',
        {
          thought,
          thoughtNumber: earlier.length + 1,
          totalThoughts: earlier.length + 1,
          nextThoughtNeeded: true,
          ...(earlier[0] && { session_id: earlier[0].answer['session_id'] }),
        },
      ],
      read: ({ answer }) => [
        'get_session',
        { session_id: answer['session_id'], from: answer['thoughtHistoryLength'], limit: 1 },
      ],
      remove: ([first]) => ['delete_session', { session_id: first?.answer['session_id'] }],
    },
  ],
  context: [
    {
      write: (content) => ['store_output', { content }],
      read: ({ answer }) => ['read_output', { handle: answer['handle'] }],
      remove: (series) => ['delete_outputs', { handles: series.map(({ answer }) => answer['handle']) }],
    },
    {
      write: (text) => ['save_snapshot', { name: 'trial', entries: [{ key: 'plan', text }] }],
      read: ({ answer }) => ['restore_snapshot', { snapshot_id: answer['snapshot_id'] }],
    },
    {
      write: (goal) => ['create_handoff', { goal, state: 'It goes on.' }],
      read: ({ answer }) => ['read_handoff', { handoff_id: answer['handoff_id'] }],
    },
  ],
  python: [
    {
      write: (text, [session, ...files]) =>
        session
          ? [
              'write_python_file',
              { session_id: session.answer['session_id'], path: `${files.length}.txt`, content: text },
            ]
          : ['create_python_session', { name: text }],
      read: ({ answer: { uri } }) => {
        const [, session_id, path] = /^python:\/\/session\/(.+)\/files\/(.+)$/.exec(String(uri)) ?? [];
        return session_id
          ? ['read_python_file', { session_id, path }]
          : ['list_python_sessions', { limit: 200 }];
      },
      remove: ([session]) => ['close_python_session', { session_id: session?.answer['session_id'] }],
    },
  ],
  sqlite: [
    {
      write: (text, [table]) =>
        table
          ? [
              'write_query',
              {
                query: `INSERT INTO "${table.text}" VALUES (?) RETURNING '${table.text}' AS home`,
                params: [text],
              },
            ]
          : ['create_table', { query: `CREATE TABLE "${text}" (text TEXT)` }],
      read: ({ text, answer: { rows } }) => [
        'read_query',
        {
          query: rows
            ? `SELECT text FROM "${rows[0].home}" WHERE text = ?`
            : 'SELECT name FROM sqlite_schema WHERE name = ?',
          params: [text],
        },
      ],
      remove: ([table]) => ['execute_sql', { sql: `DROP TABLE "${table?.text}"` }],
    },
  ],
};

/**
 * Whose stores are tried: each with `npm run test:faults`; else those that write in a way of their own, and one of those
 * that write as memory does, through runtime/database.ts.
 */
export const triedStores: readonly ProcessName[] = isWhole
  ? catalogue.map(({ name }) => name).filter((name) => name in acknowledgedWrites)
  : ['memory', 'logging'];

/** Where those that work on the user's files find them: on the same disk, beside the data. */
export function rootOf(dataRoot: string): string {
  return join(dirname(dataRoot), 'files');
}

/** With a root that is there, and room for what writers leave. */
export function settingsOf(dataRoot: string): Readonly<Record<string, string>> {
  const root = rootOf(dataRoot);
  mkdirSync(root, { recursive: true });
  return { FLOTILLA_DATA: dataRoot, FLOTILLA_ROOTS: root, FLOTILLA_PYTHON_QUOTA_ITEMS: '10000' };
}

/** Processes that keep data and acknowledge no writes of it. */
export const withoutAcknowledgedWrites: { readonly [Name in ProcessName]?: string } = {
  'system-info': 'keeps what it measured itself, and promises nobody the last samples',
  health: 'keeps what it polled itself, and promises nobody the last polls',
  gateway:
    'keeps a key that it makes again, and what it saw of others; calls are acknowledged by those behind it',
  dashboard: 'keeps a key that it makes again when it is gone',
};
