CREATE TABLE decision (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL,
  model INTEGER NOT NULL,
  task_type INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  confidence REAL,
  outcome REAL,
  source INTEGER,
  cost_usd REAL,
  latency_ms REAL
) STRICT;
CREATE TABLE decision_once (
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  model INTEGER NOT NULL,
  task_type INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  confidence REAL,
  outcome REAL,
  source INTEGER,
  cost_usd REAL,
  latency_ms REAL
) STRICT;
