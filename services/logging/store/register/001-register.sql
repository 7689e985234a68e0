-- What there is, and how far everything has come. A batch whose row is missing here was not acknowledged.
CREATE TABLE segments (
  start_ms INTEGER PRIMARY KEY,
  end_ms INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  -- Of the places that are taken.
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  -- How far a line's place is from its time, at most.
  drift_ms INTEGER NOT NULL
) STRICT;

-- parts: JSON of [start of the segment, first place, last place].
CREATE TABLE batches (
  id INTEGER PRIMARY KEY,
  observed_ms INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  parts TEXT NOT NULL
) STRICT;

-- Batches that senders gave a name, so that the same one counts once.
CREATE TABLE batch_names (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_names_by_age ON batch_names (at_ms);

-- How far a followed file or the journal was read.
CREATE TABLE positions (
  source TEXT PRIMARY KEY,
  position TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE thresholds (
  service TEXT PRIMARY KEY,
  level INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was not taken, and what went, by reason.
CREATE TABLE tallies (
  name TEXT PRIMARY KEY,
  lines INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
  service TEXT NOT NULL,
  source TEXT NOT NULL,
  lines INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  PRIMARY KEY (service, source)
) STRICT, WITHOUT ROWID;

-- What each token brought that is still there.
CREATE TABLE holdings (
  segment INTEGER NOT NULL,
  owner TEXT NOT NULL,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (segment, owner)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TRIGGER holding_added AFTER INSERT ON holdings BEGIN
  INSERT INTO kept VALUES (new.owner, new.items, new.bytes)
  ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER holding_changed AFTER UPDATE ON holdings BEGIN
  UPDATE kept SET items = items + new.items - old.items, bytes = bytes + new.bytes - old.bytes WHERE owner = new.owner;
END;
CREATE TRIGGER holding_gone AFTER DELETE ON holdings BEGIN
  UPDATE kept SET items = items - old.items, bytes = bytes - old.bytes WHERE owner = old.owner;
END;
