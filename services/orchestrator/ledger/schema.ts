/** The tables of the ledger, as both engines have them: numbers, texts, and nothing else. */
import type { Generated } from 'kysely';

import type { OnFailure, Status, WaitingFor } from '../states.ts';

type Added<Value> = Generated<Value>;

interface ProjectTable {
  seq: Added<number>;
  nonce: string;
  owner: string;
  name: string;
  brief: string;
  priority: number;
  on_failure: OnFailure;
  status: Status;
  cancelled: Added<number>;
  batch: number | null;
  version: Added<number>;
  created_at: number;
  updated_at: number;
  ended_at: number | null;
}

interface ProjectCountsTable extends Record<Status, Added<number>> {
  project: number;
}

interface TaskTable {
  seq: Added<number>;
  nonce: string;
  project: number | null;
  batch: number | null;
  owner: string;
  key: string | null;
  title: string;
  type: string;
  priority: number;
  skill_set: number;
  status: Status;
  reason: string | null;
  waiting_for: WaitingFor | null;
  open_needs: number;
  on_failure: OnFailure;
  cascaded: Added<number>;
  fence: Added<number>;
  failures: Added<number>;
  max_attempts: number;
  lease_ms: number;
  lease_until: number | null;
  lease_worker: string | null;
  lease_owner: string | null;
  retry_from: number | null;
  deadline_at: number | null;
  percent: number | null;
  note: string | null;
  branch: string | null;
  folder: string | null;
  bytes: number;
  version: Added<number>;
  created_at: number;
  updated_at: number;
  started_at: number | null;
  ended_at: number | null;
}

/** How an attempt ended. */
export type Outcome = 'completed' | 'failed' | 'lost' | 'released' | 'asked' | 'cancelled';

interface AttemptTable {
  task: number;
  fence: number;
  worker: string;
  owner: string;
  begun_from: number;
  started_at: number;
  ended_at: number | null;
  outcome: Outcome | null;
  error: string | null;
}

interface WorkerTable {
  name: string;
  owner: string;
  capabilities: string;
  most_tasks: number;
  description: string;
  version: Added<number>;
  registered_at: number;
  seen_at: number;
  up_ms: Added<number>;
}

interface WorkerTallyTable {
  worker: string;
  type: string;
  completed: number;
  failed: number;
  lost: number;
  worked_ms: number;
}

interface QuestionTable {
  task: number;
  fence: number;
  question: string;
  choices: string | null;
  asked_at: number;
  answer: string | null;
  answered_by: string | null;
  answered_at: number | null;
}

interface EventTable {
  seq: Added<number>;
  at: number;
  type: string;
  project: number | null;
  task: number | null;
  data: string;
}

/** `ended` tells the dependents of a task that it will not complete, `revived` that it may again. */
export type Chore = 'ended' | 'revived' | 'cancel_project' | 'delete_project' | 'drop_batch';

export interface Schema {
  project: ProjectTable;
  project_counts: ProjectCountsTable;
  skill_set: { id: Added<number>; owner: string; requires: string };
  task: TaskTable;
  work: { task: number; body: string };
  edge: { task: number; needs: number };
  attempt: AttemptTable;
  result: { task: number; body: string };
  merge: { task: number; body: string };
  question: QuestionTable;
  worker: WorkerTable;
  worker_tally: WorkerTallyTable;
  event: EventTable;
  chore: { seq: Added<number>; kind: Chore; subject: number; place: Added<number> };
  batch: { id: Added<number>; begun_at: number };
  answer: { owner: string; key: string; digest: string; value: string; at: number };
  clock: { id: number; ms: number };
  kept: { owner: string; items: number; bytes: number };
}

type Row<Table> = {
  readonly [Column in keyof Table]: Table[Column] extends Generated<infer Value> ? Value : Table[Column];
};

export type ProjectRow = Row<ProjectTable>;
export type CountsRow = Row<ProjectCountsTable>;
export type TaskRow = Row<TaskTable>;
export type AttemptRow = Row<AttemptTable>;
export type WorkerRow = Row<WorkerTable>;
export type TallyRow = Row<WorkerTallyTable>;
export type QuestionRow = Row<QuestionTable>;
export type EventRow = Row<EventTable>;
