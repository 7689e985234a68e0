-- Sums per hour and per day since the epoch, kept longer than those per minute: what was kept before goes into them.
CREATE TABLE hours (
  hour INTEGER NOT NULL,
  name TEXT NOT NULL,
  polls INTEGER NOT NULL,
  up INTEGER NOT NULL,
  PRIMARY KEY (hour, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE days (
  day INTEGER NOT NULL,
  name TEXT NOT NULL,
  polls INTEGER NOT NULL,
  up INTEGER NOT NULL,
  PRIMARY KEY (day, name)
) STRICT, WITHOUT ROWID;

INSERT INTO hours SELECT minute / 60, name, sum(polls), sum(up) FROM minutes GROUP BY minute / 60, name;
INSERT INTO days SELECT minute / 1440, name, sum(polls), sum(up) FROM minutes GROUP BY minute / 1440, name;

-- From one status to the next. The last one of each process has not ended.
CREATE TABLE transitions (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  from_status TEXT NOT NULL,
  to_status TEXT NOT NULL,
  reason TEXT,
  -- Of a fall: from the last good look to the verdict, by a clock that is never set.
  detection_ms REAL,
  ended_at_ms INTEGER,
  -- How long it stayed so, by the same clock where health ran all the time.
  duration_ms REAL
) STRICT;
CREATE INDEX transitions_by_name ON transitions (name, id);
