-- Time leads the keys, so that a round touches the end of each tree only, and pruning its beginning.
CREATE TABLE samples (
  at_ms INTEGER NOT NULL,
  name TEXT NOT NULL,
  result TEXT NOT NULL CHECK (result IN ('up', 'not_ready', 'down')),
  latency_ms REAL,
  reason TEXT,
  PRIMARY KEY (at_ms, name)
) STRICT, WITHOUT ROWID;

-- Sums per minute since the epoch: uptime reads 1 440 rows per process in place of 86 400.
CREATE TABLE minutes (
  minute INTEGER NOT NULL,
  name TEXT NOT NULL,
  polls INTEGER NOT NULL,
  up INTEGER NOT NULL,
  PRIMARY KEY (minute, name)
) STRICT, WITHOUT ROWID;
