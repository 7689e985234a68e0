-- The tables of ../migrations, for PostgreSQL.
-- Times are milliseconds: *_at by the clock of the host, *_until and *_from by the clock of the ledger, which only goes forward.
-- Enumerations are their words; a priority is its place in the list, the most urgent 0.
CREATE TABLE project (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  nonce TEXT NOT NULL,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  -- JSON: description, requirements, tech_stack, template.
  brief TEXT NOT NULL,
  priority BIGINT NOT NULL,
  on_failure TEXT NOT NULL,
  -- Written when it changes, so that projects are found by it.
  status TEXT NOT NULL,
  cancelled BIGINT NOT NULL DEFAULT 0,
  -- Not seen until the batch of its first tasks is whole.
  batch BIGINT,
  version BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX project_status ON project (status, seq);
CREATE INDEX project_ended ON project (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX project_batch ON project (batch) WHERE batch IS NOT NULL;

-- Apart from project, so that a step of a task does not write a long brief again. Tasks without a project are counted in row 0.
CREATE TABLE project_counts (
  project BIGINT PRIMARY KEY,
  pending BIGINT NOT NULL DEFAULT 0,
  assigned BIGINT NOT NULL DEFAULT 0,
  in_progress BIGINT NOT NULL DEFAULT 0,
  completed BIGINT NOT NULL DEFAULT 0,
  failed BIGINT NOT NULL DEFAULT 0,
  blocked BIGINT NOT NULL DEFAULT 0,
  cancelled BIGINT NOT NULL DEFAULT 0
);
INSERT INTO project_counts (project) VALUES (0);

-- Each set of capabilities that tasks ask for, once: a worker looks only among the sets that it covers.
CREATE TABLE skill_set (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner TEXT NOT NULL,
  -- JSON, sorted. Too long for a tree.
  requires TEXT NOT NULL,
  EXCLUDE USING hash (requires WITH =)
);
CREATE INDEX skill_set_owner ON skill_set (owner);

CREATE TABLE task (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  nonce TEXT NOT NULL,
  project BIGINT REFERENCES project,
  -- Not seen and not given out until all of its batch is there.
  batch BIGINT,
  owner TEXT NOT NULL,
  key TEXT,
  title TEXT NOT NULL,
  type TEXT NOT NULL,
  priority BIGINT NOT NULL,
  skill_set BIGINT NOT NULL REFERENCES skill_set,
  status TEXT NOT NULL,
  reason TEXT,
  waiting_for TEXT,
  -- Dependencies that have not completed.
  open_needs BIGINT NOT NULL,
  on_failure TEXT NOT NULL,
  -- Failed or cancelled only because a dependency was.
  cascaded BIGINT NOT NULL DEFAULT 0,
  fence BIGINT NOT NULL DEFAULT 0,
  -- Attempts that failed or were lost since the last retry_task.
  failures BIGINT NOT NULL DEFAULT 0,
  max_attempts BIGINT NOT NULL,
  lease_ms BIGINT NOT NULL,
  lease_until BIGINT,
  lease_worker TEXT,
  lease_owner TEXT,
  retry_from BIGINT,
  deadline_at BIGINT,
  percent BIGINT,
  note TEXT,
  -- What it takes of its owner's quota, with its work and its result.
  bytes BIGINT NOT NULL,
  version BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  started_at BIGINT,
  ended_at BIGINT
);
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
CREATE TABLE work (task BIGINT PRIMARY KEY REFERENCES task ON DELETE CASCADE, body TEXT NOT NULL);

CREATE TABLE edge (
  task BIGINT NOT NULL REFERENCES task ON DELETE CASCADE,
  needs BIGINT NOT NULL REFERENCES task ON DELETE CASCADE,
  PRIMARY KEY (task, needs)
);
CREATE INDEX edge_needs ON edge (needs);

CREATE TABLE attempt (
  task BIGINT NOT NULL REFERENCES task ON DELETE CASCADE,
  fence BIGINT NOT NULL,
  worker TEXT NOT NULL,
  owner TEXT NOT NULL,
  -- By the clock of the ledger: how long it took.
  begun_from BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT,
  outcome TEXT,
  -- JSON: of a failure {message, code, retryable}.
  error TEXT,
  PRIMARY KEY (task, fence)
);

CREATE TABLE result (task BIGINT PRIMARY KEY REFERENCES task ON DELETE CASCADE, body TEXT NOT NULL);

CREATE TABLE question (
  task BIGINT NOT NULL REFERENCES task ON DELETE CASCADE,
  fence BIGINT NOT NULL,
  question TEXT NOT NULL,
  choices TEXT,
  asked_at BIGINT NOT NULL,
  answer TEXT,
  answered_by TEXT,
  answered_at BIGINT,
  PRIMARY KEY (task, fence)
);

CREATE TABLE worker (
  name TEXT COLLATE "C" PRIMARY KEY,
  owner TEXT NOT NULL,
  -- JSON, sorted.
  capabilities TEXT NOT NULL,
  most_tasks BIGINT NOT NULL,
  description TEXT NOT NULL,
  version BIGINT NOT NULL DEFAULT 1,
  registered_at BIGINT NOT NULL,
  -- When it was heard of last, and how long it has been here in all.
  seen_at BIGINT NOT NULL,
  up_ms BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX worker_owner ON worker (owner);

CREATE TABLE worker_tally (
  worker TEXT COLLATE "C" NOT NULL REFERENCES worker ON DELETE CASCADE,
  type TEXT NOT NULL,
  completed BIGINT NOT NULL DEFAULT 0,
  failed BIGINT NOT NULL DEFAULT 0,
  lost BIGINT NOT NULL DEFAULT 0,
  -- Of those that completed.
  worked_ms BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (worker, type)
);

-- Who follows the events goes on from the last number that it has seen: so none may become visible after one with a greater number. A number is
-- drawn under a lock that is held until the change is there for others (ledger/query.ts has its number).
CREATE TABLE event (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at BIGINT NOT NULL,
  type TEXT NOT NULL,
  project BIGINT,
  task BIGINT,
  -- JSON.
  data TEXT NOT NULL
);
CREATE INDEX event_project ON event (project, seq) WHERE project IS NOT NULL;
CREATE INDEX event_task ON event (task, seq) WHERE task IS NOT NULL;

-- What is left to do of a change that touches many tasks: done in pieces, also after a restart.
CREATE TABLE chore (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind TEXT NOT NULL,
  subject BIGINT NOT NULL,
  -- How far it has come.
  place BIGINT NOT NULL DEFAULT 0,
  UNIQUE (kind, subject)
);

CREATE TABLE batch (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, begun_at BIGINT NOT NULL);

CREATE TABLE answer (
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  -- Of the tool and its arguments.
  digest TEXT NOT NULL,
  value TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (owner, key)
);
CREATE INDEX answer_at ON answer (at);

CREATE TABLE clock (id BIGINT PRIMARY KEY CHECK (id = 1), ms BIGINT NOT NULL);
INSERT INTO clock VALUES (1, 0);

CREATE TABLE kept (owner TEXT COLLATE "C" PRIMARY KEY, items BIGINT NOT NULL, bytes BIGINT NOT NULL);

CREATE FUNCTION event_in_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_advisory_xact_lock(1179407188::bigint << 32 | TG_RELID::bigint);
  RETURN NULL;
END $$;
CREATE TRIGGER event_in_order BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION event_in_order();

CREATE FUNCTION project_counts_gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  DELETE FROM project_counts WHERE project = OLD.seq;
  RETURN NULL;
END $$;
CREATE TRIGGER project_counts_gone AFTER DELETE ON project FOR EACH ROW EXECUTE FUNCTION project_counts_gone();

CREATE FUNCTION keep_more() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  more_items BIGINT := CASE TG_OP WHEN 'INSERT' THEN 1 WHEN 'DELETE' THEN -1 ELSE 0 END;
  more_bytes BIGINT := 0;
  whose TEXT;
BEGIN
  IF TG_TABLE_NAME = 'task' THEN
    IF TG_OP <> 'DELETE' THEN more_bytes := NEW.bytes; whose := NEW.owner; END IF;
    IF TG_OP <> 'INSERT' THEN more_bytes := more_bytes - OLD.bytes; whose := OLD.owner; END IF;
  ELSE
    IF TG_OP <> 'DELETE' THEN more_bytes := length(NEW.brief) + 500; whose := NEW.owner; END IF;
    IF TG_OP <> 'INSERT' THEN more_bytes := more_bytes - length(OLD.brief) - 500; whose := OLD.owner; END IF;
  END IF;
  IF TG_OP = 'INSERT' THEN
    INSERT INTO kept VALUES (whose, 1, more_bytes)
    ON CONFLICT (owner) DO UPDATE SET items = kept.items + 1, bytes = kept.bytes + excluded.bytes;
  ELSE
    UPDATE kept SET items = items + more_items, bytes = bytes + more_bytes WHERE owner = whose;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER task_kept AFTER INSERT OR DELETE ON task FOR EACH ROW EXECUTE FUNCTION keep_more();
CREATE TRIGGER task_grown AFTER UPDATE OF bytes ON task FOR EACH ROW WHEN (NEW.bytes <> OLD.bytes) EXECUTE FUNCTION keep_more();
CREATE TRIGGER project_kept AFTER INSERT OR DELETE ON project FOR EACH ROW EXECUTE FUNCTION keep_more();
CREATE TRIGGER project_changed AFTER UPDATE OF brief ON project FOR EACH ROW EXECUTE FUNCTION keep_more();
