-- What has failed, of each token its own. Times are milliseconds since the epoch.

-- Failures of one kind: of one rule, sign and masked message.
CREATE TABLE pattern (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  kind TEXT NOT NULL,
  category TEXT NOT NULL,
  severity TEXT NOT NULL,
  sign TEXT NOT NULL,
  message TEXT NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  alerted_ms INTEGER,
  UNIQUE (owner, fingerprint)
) STRICT;

CREATE INDEX pattern_last ON pattern (owner, last_ms);
CREATE INDEX pattern_age ON pattern (last_ms);

-- Each failure, as long as there is room.
CREATE TABLE failure (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pattern INTEGER NOT NULL REFERENCES pattern (id) ON DELETE CASCADE,
  owner TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  agent TEXT NOT NULL,
  message TEXT NOT NULL,
  correlation_id TEXT
) STRICT;

CREATE INDEX failure_pattern ON failure (pattern, at_ms);
CREATE INDEX failure_owner ON failure (owner, id);
CREATE INDEX failure_age ON failure (at_ms);

-- Sums of ten minutes: figures stay true when there were more failures than are kept.
CREATE TABLE slot (
  owner TEXT NOT NULL,
  start_ms INTEGER NOT NULL,
  pattern INTEGER NOT NULL REFERENCES pattern (id) ON DELETE CASCADE,
  agent TEXT NOT NULL,
  failures INTEGER NOT NULL,
  lost_attempts INTEGER NOT NULL,
  worked_ms INTEGER NOT NULL,
  delayed_messages INTEGER NOT NULL,
  PRIMARY KEY (owner, start_ms, pattern, agent)
) STRICT, WITHOUT ROWID;

CREATE INDEX slot_pattern ON slot (pattern);
CREATE INDEX slot_age ON slot (start_ms);

-- What each token keeps: items are failures and their bytes, beside them patterns and slots.
CREATE TABLE kept (
  owner TEXT PRIMARY KEY,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  patterns INTEGER NOT NULL DEFAULT 0,
  slots INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TRIGGER failure_is_kept AFTER INSERT ON failure
BEGIN
  INSERT INTO kept (owner, items, bytes) VALUES (new.owner, 1, 200 + octet_length(new.message))
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER failure_is_gone AFTER DELETE ON failure
BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - 200 - octet_length(old.message) WHERE owner = old.owner;
END;
CREATE TRIGGER pattern_is_kept AFTER INSERT ON pattern
BEGIN
  INSERT INTO kept (owner, items, bytes, patterns) VALUES (new.owner, 0, 0, 1)
  ON CONFLICT DO UPDATE SET patterns = patterns + 1;
END;
CREATE TRIGGER pattern_is_gone AFTER DELETE ON pattern
BEGIN UPDATE kept SET patterns = patterns - 1 WHERE owner = old.owner; END;
CREATE TRIGGER slot_is_kept AFTER INSERT ON slot
BEGIN
  INSERT INTO kept (owner, items, bytes, slots) VALUES (new.owner, 0, 0, 1)
  ON CONFLICT DO UPDATE SET slots = slots + 1;
END;
CREATE TRIGGER slot_is_gone AFTER DELETE ON slot
BEGIN UPDATE kept SET slots = slots - 1 WHERE owner = old.owner; END;
