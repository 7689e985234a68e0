-- Numbers of changes: every decision and every later outcome takes the next one, so that whoever reads on from a number misses nothing.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('change', 0), ('first_kept', 1);

CREATE TABLE model (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT,
  effort TEXT,
  prompt_hash TEXT,
  note TEXT,
  owner TEXT NOT NULL,
  registered_ms INTEGER NOT NULL,
  decisions INTEGER NOT NULL,
  -- The newest decision; each names the one before it, which takes no index.
  last INTEGER NOT NULL,
  -- What the monitors of drift know: see statistics/drift.ts.
  monitors BLOB NOT NULL
) STRICT;

CREATE TABLE task_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE decision (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL,
  model INTEGER NOT NULL,
  task_type INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  owner INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  confidence REAL,
  outcome REAL,
  source INTEGER,
  error_kind INTEGER,
  latency_ms REAL,
  cost_usd REAL,
  input_tokens INTEGER,
  output_tokens INTEGER,
  reasoning_tokens INTEGER,
  item TEXT,
  cluster TEXT,
  -- The rest, as JSON.
  more TEXT
) STRICT;

-- Decisions by a hash of their uid, many at a time: see uids.ts.
CREATE TABLE uid_run (run INTEGER NOT NULL, page INTEGER NOT NULL, entries BLOB NOT NULL, PRIMARY KEY (run, page)) STRICT;

-- Late and revised outcomes, with what was known before; nothing here is ever changed.
CREATE TABLE outcome_event (
  id INTEGER PRIMARY KEY,
  decision INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  owner INTEGER NOT NULL,
  outcome REAL NOT NULL,
  source INTEGER NOT NULL,
  error_kind INTEGER,
  evaluator TEXT,
  -- Whether it is what counts from now on: a weaker source does not replace a stronger one.
  counts INTEGER NOT NULL,
  outcome_before REAL,
  source_before INTEGER,
  error_kind_before INTEGER
) STRICT;
CREATE INDEX outcome_event_decision ON outcome_event (decision);

-- Sums of one model, kind of task and day: see cell.ts.
CREATE TABLE cell (
  id INTEGER PRIMARY KEY,
  model INTEGER NOT NULL,
  day INTEGER NOT NULL,
  task_type INTEGER NOT NULL,
  sums BLOB NOT NULL,
  UNIQUE (model, day, task_type)
) STRICT;

CREATE TABLE drift_event (
  id INTEGER PRIMARY KEY,
  model INTEGER NOT NULL,
  metric INTEGER NOT NULL,
  change INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  direction TEXT NOT NULL,
  baseline REAL NOT NULL,
  deviation REAL NOT NULL
) STRICT;
CREATE INDEX drift_event_model ON drift_event (model, metric, id);

CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
