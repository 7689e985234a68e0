-- Models and clients, by key; the kind is part of it.
CREATE TABLE subject (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL) STRICT;
CREATE TABLE task_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
-- Who judged, and what kind of source that is: see vocabulary.ts.
CREATE TABLE judge (id INTEGER PRIMARY KEY, name TEXT NOT NULL, source INTEGER NOT NULL, UNIQUE (name, source)) STRICT;

CREATE TABLE batch (
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  battles INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  UNIQUE (owner, key)
) STRICT;

-- Never changed: a ranking can be repeated as of any battle. a is the model that was named first.
CREATE TABLE battle (
  id INTEGER PRIMARY KEY,
  batch INTEGER NOT NULL,
  item TEXT,
  task_type INTEGER NOT NULL,
  a INTEGER NOT NULL,
  b INTEGER NOT NULL,
  -- 1: a won; 0: b won; 0.5: a tie.
  outcome REAL NOT NULL,
  both_bad INTEGER NOT NULL,
  judge INTEGER NOT NULL,
  -- Whether b's answer was shown first; NULL: nobody said.
  swapped INTEGER,
  len_a INTEGER,
  len_b INTEGER,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX battle_pair ON battle (a, b);
-- For agreement of judges: most battles of public data sets have no item.
CREATE INDEX battle_item ON battle (item, id) WHERE item IS NOT NULL;

-- Sums of battles, kept in the transaction of each; a < b.
CREATE TABLE pair_agg (
  judge INTEGER NOT NULL,
  task_type INTEGER NOT NULL,
  a INTEGER NOT NULL,
  b INTEGER NOT NULL,
  wa INTEGER NOT NULL,
  wb INTEGER NOT NULL,
  t INTEGER NOT NULL,
  bb INTEGER NOT NULL,
  PRIMARY KEY (judge, task_type, a, b)
) STRICT, WITHOUT ROWID;

-- A copy of what model-profile knows, in step with its changes up to `change:KIND` of the table sync.
CREATE TABLE decision (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  subject INTEGER NOT NULL,
  task_type INTEGER NOT NULL,
  item TEXT,
  cluster TEXT,
  outcome REAL,
  source INTEGER,
  confidence REAL,
  cost_usd REAL,
  latency_ms REAL,
  propensity REAL,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX decision_subject ON decision (subject, task_type);
CREATE TABLE sync (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE rating_run (
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  method TEXT NOT NULL,
  params TEXT NOT NULL,
  seed INTEGER NOT NULL,
  snapshot TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE rating (
  run INTEGER NOT NULL REFERENCES rating_run (id) ON DELETE CASCADE,
  subject TEXT NOT NULL,
  rating REAL NOT NULL,
  lo REAL NOT NULL,
  hi REAL NOT NULL,
  rank_lo INTEGER NOT NULL,
  rank_hi INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (run, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE comparison (
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  a TEXT NOT NULL,
  b TEXT NOT NULL,
  params TEXT NOT NULL,
  snapshot TEXT NOT NULL,
  figure TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX comparison_pair ON comparison (a, b, params);

CREATE TABLE recommendation (
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  task_type TEXT NOT NULL,
  chosen TEXT NOT NULL,
  p_best REAL NOT NULL,
  exp_loss REAL NOT NULL,
  -- The chance with which it was chosen: without it, no router can be judged from this log.
  propensity REAL NOT NULL,
  reason TEXT NOT NULL,
  params TEXT NOT NULL,
  seed INTEGER NOT NULL,
  snapshot TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE report (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  format TEXT NOT NULL,
  body TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TRIGGER batch_kept AFTER INSERT ON batch BEGIN
  INSERT INTO kept VALUES (new.owner, new.battles, new.bytes)
    ON CONFLICT (owner) DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER recommendation_kept AFTER INSERT ON recommendation BEGIN
  INSERT INTO kept VALUES (new.owner, 1, 200 + length(new.params) + length(new.reason))
    ON CONFLICT (owner) DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER report_kept AFTER INSERT ON report BEGIN
  INSERT INTO kept VALUES (new.owner, 1, 100 + octet_length(new.body))
    ON CONFLICT (owner) DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER report_gone AFTER DELETE ON report BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - 100 - octet_length(old.body) WHERE owner = old.owner;
END;
