-- Times are milliseconds: *_at by the clock of the host, *_until and *_from by the clock of the ledger, which only goes forward.
-- Enumerations are their words; a priority is its place in the list, the most urgent 0.
CREATE TABLE project (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  nonce TEXT NOT NULL,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  -- JSON: description, requirements, tech_stack, template.
  brief TEXT NOT NULL,
  priority INTEGER NOT NULL,
  on_failure TEXT NOT NULL,
  -- Written when it changes, so that projects are found by it.
  status TEXT NOT NULL,
  cancelled INTEGER NOT NULL DEFAULT 0,
  -- Not seen until the batch of its first tasks is whole.
  batch INTEGER,
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER
) STRICT;
CREATE INDEX project_status ON project (status, seq);
CREATE INDEX project_ended ON project (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX project_batch ON project (batch) WHERE batch IS NOT NULL;

-- Apart from project, so that a step of a task does not write a long brief again. Tasks without a project are counted in row 0.
CREATE TABLE project_counts (
  project INTEGER PRIMARY KEY,
  pending INTEGER NOT NULL DEFAULT 0,
  assigned INTEGER NOT NULL DEFAULT 0,
  in_progress INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  blocked INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO project_counts (project) VALUES (0);
CREATE TRIGGER project_counts_gone AFTER DELETE ON project BEGIN
  DELETE FROM project_counts WHERE project = OLD.seq;
END;

-- Each set of capabilities that tasks ask for, once: a worker looks only among the sets that it covers.
CREATE TABLE skill_set (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  -- JSON, sorted.
  requires TEXT NOT NULL UNIQUE
) STRICT;
CREATE INDEX skill_set_owner ON skill_set (owner);

CREATE TABLE task (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  nonce TEXT NOT NULL,
  project INTEGER REFERENCES project,
  -- Not seen and not given out until all of its batch is there.
  batch INTEGER,
  owner TEXT NOT NULL,
  key TEXT,
  title TEXT NOT NULL,
  type TEXT NOT NULL,
  priority INTEGER NOT NULL,
  skill_set INTEGER NOT NULL REFERENCES skill_set,
  status TEXT NOT NULL,
  reason TEXT,
  waiting_for TEXT,
  -- Dependencies that have not completed.
  open_needs INTEGER NOT NULL,
  on_failure TEXT NOT NULL,
  -- Failed or cancelled only because a dependency was.
  cascaded INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  -- Attempts that failed or were lost since the last retry_task.
  failures INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL,
  lease_ms INTEGER NOT NULL,
  lease_until INTEGER,
  lease_worker TEXT,
  lease_owner TEXT,
  retry_from INTEGER,
  deadline_at INTEGER,
  percent INTEGER,
  note TEXT,
  -- What it takes of its owner's quota, with its work and its result.
  bytes INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER
) STRICT;
CREATE INDEX task_ready ON task (skill_set, priority, seq) WHERE status = 'pending' AND waiting_for IS NULL AND batch IS NULL;
CREATE INDEX task_project ON task (project, seq) WHERE project IS NOT NULL;
-- What a worker holds is found by its lease.
CREATE INDEX task_status ON task (status, seq) WHERE status IN ('pending', 'blocked', 'completed', 'failed', 'cancelled');
CREATE INDEX task_type ON task (type, seq);
-- Those that wait for a person.
CREATE INDEX task_waiting ON task (waiting_for, seq) WHERE waiting_for IN ('input', 'merge');
CREATE INDEX task_lease ON task (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX task_worker ON task (lease_worker) WHERE lease_worker IS NOT NULL;
CREATE INDEX task_retry ON task (retry_from) WHERE retry_from IS NOT NULL;
CREATE INDEX task_deadline ON task (deadline_at) WHERE deadline_at IS NOT NULL AND ended_at IS NULL;
-- Those of no project, which go one by one.
CREATE INDEX task_ended ON task (ended_at) WHERE project IS NULL AND ended_at IS NOT NULL;
CREATE INDEX task_batch ON task (batch) WHERE batch IS NOT NULL;

-- What a worker is told. Apart from task, so that a step does not write it again.
CREATE TABLE work (task INTEGER PRIMARY KEY REFERENCES task ON DELETE CASCADE, body TEXT NOT NULL) STRICT;

CREATE TABLE edge (
  task INTEGER NOT NULL REFERENCES task ON DELETE CASCADE,
  needs INTEGER NOT NULL REFERENCES task ON DELETE CASCADE,
  PRIMARY KEY (task, needs)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_needs ON edge (needs);

CREATE TABLE attempt (
  task INTEGER NOT NULL REFERENCES task ON DELETE CASCADE,
  fence INTEGER NOT NULL,
  worker TEXT NOT NULL,
  owner TEXT NOT NULL,
  -- By the clock of the ledger: how long it took.
  begun_from INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  outcome TEXT,
  -- JSON: of a failure {message, code, retryable}.
  error TEXT,
  PRIMARY KEY (task, fence)
) STRICT, WITHOUT ROWID;

CREATE TABLE result (task INTEGER PRIMARY KEY REFERENCES task ON DELETE CASCADE, body TEXT NOT NULL) STRICT;

CREATE TABLE question (
  task INTEGER NOT NULL REFERENCES task ON DELETE CASCADE,
  fence INTEGER NOT NULL,
  question TEXT NOT NULL,
  choices TEXT,
  asked_at INTEGER NOT NULL,
  answer TEXT,
  answered_by TEXT,
  answered_at INTEGER,
  PRIMARY KEY (task, fence)
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  -- JSON, sorted.
  capabilities TEXT NOT NULL,
  most_tasks INTEGER NOT NULL,
  description TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  registered_at INTEGER NOT NULL,
  -- When it was heard of last, and how long it has been here in all.
  seen_at INTEGER NOT NULL,
  up_ms INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX worker_owner ON worker (owner);

CREATE TABLE worker_tally (
  worker TEXT NOT NULL REFERENCES worker ON DELETE CASCADE,
  type TEXT NOT NULL,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0,
  -- Of those that completed.
  worked_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (worker, type)
) STRICT, WITHOUT ROWID;

-- The newest is never deleted, so that its number is not used again.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  type TEXT NOT NULL,
  project INTEGER,
  task INTEGER,
  -- JSON.
  data TEXT NOT NULL
) STRICT;
CREATE INDEX event_project ON event (project, seq) WHERE project IS NOT NULL;
CREATE INDEX event_task ON event (task, seq) WHERE task IS NOT NULL;

-- What is left to do of a change that touches many tasks: done in pieces, also after a restart.
CREATE TABLE chore (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  subject INTEGER NOT NULL,
  -- How far it has come.
  place INTEGER NOT NULL DEFAULT 0,
  UNIQUE (kind, subject)
) STRICT;

CREATE TABLE batch (id INTEGER PRIMARY KEY AUTOINCREMENT, begun_at INTEGER NOT NULL) STRICT;

CREATE TABLE answer (
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  -- Of the tool and its arguments.
  digest TEXT NOT NULL,
  value TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_at ON answer (at);

CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 1), ms INTEGER NOT NULL) STRICT;
INSERT INTO clock VALUES (1, 0);

CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER task_added AFTER INSERT ON task BEGIN
  INSERT INTO kept VALUES (NEW.owner, 1, NEW.bytes)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER task_grown AFTER UPDATE OF bytes ON task WHEN NEW.bytes <> OLD.bytes BEGIN
  UPDATE kept SET bytes = bytes + NEW.bytes - OLD.bytes WHERE owner = NEW.owner;
END;
CREATE TRIGGER task_gone AFTER DELETE ON task BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - OLD.bytes WHERE owner = OLD.owner;
END;
CREATE TRIGGER project_added AFTER INSERT ON project BEGIN
  INSERT INTO kept VALUES (NEW.owner, 1, length(NEW.brief) + 500)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER project_changed AFTER UPDATE OF brief ON project BEGIN
  UPDATE kept SET bytes = bytes + length(NEW.brief) - length(OLD.brief) WHERE owner = NEW.owner;
END;
CREATE TRIGGER project_gone AFTER DELETE ON project BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - length(OLD.brief) - 500 WHERE owner = OLD.owner;
END;
