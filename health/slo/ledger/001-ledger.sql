-- Events that count for the error budgets, by their source: those of maintenance windows are not among them. Minutes for three
-- days, hours for the period of the objectives.
CREATE TABLE sums (
  unit_ms INTEGER NOT NULL CHECK (unit_ms IN (60000, 3600000)),
  unit INTEGER NOT NULL,
  source TEXT NOT NULL,
  good REAL NOT NULL,
  total REAL NOT NULL,
  known_ms REAL NOT NULL,
  PRIMARY KEY (source, unit_ms, unit)
) STRICT, WITHOUT ROWID;

-- How far each source was read.
CREATE TABLE read (
  source TEXT PRIMARY KEY,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
