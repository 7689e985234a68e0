-- What does not fit into the row that a text belongs to: its parts in order, so that none takes long to write, read or delete.
-- The id is that of the text times 4096, and the number of the part. Rows from before have all of their text.
CREATE TABLE part (
  id INTEGER PRIMARY KEY,
  length INTEGER NOT NULL,
  newlines INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;

-- Texts that belong to no row: they are being written, or being taken away piece by piece. No number is used twice.
CREATE TABLE leftover (text_id INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;

ALTER TABLE output ADD COLUMN text_id INTEGER;
ALTER TABLE snapshot ADD COLUMN text_id INTEGER;

-- Lists show how the goal begins; the sections can be long.
CREATE TABLE handoff_with_goal (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('open', 'accepted')),
  session_id TEXT,
  meant_for TEXT,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  accepted_by TEXT,
  accepted_at TEXT,
  expires_at TEXT,
  goal TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  sections TEXT NOT NULL,
  CHECK ((state = 'accepted') = (accepted_at IS NOT NULL))
) STRICT;

INSERT INTO handoff_with_goal
SELECT id, state, session_id, meant_for, created_by, created_at, accepted_by, accepted_at, expires_at,
  substr(json_extract(sections, '$.goal'), 1, 300), bytes, sections
FROM handoff;

DROP TABLE handoff;
ALTER TABLE handoff_with_goal RENAME TO handoff;
CREATE INDEX handoff_order ON handoff (created_at, id);

CREATE INDEX budget_owner ON budget (created_by, id);

-- What has expired is looked at in order, a few at a time.
DROP INDEX output_expiry;
DROP INDEX snapshot_expiry;
DROP INDEX budget_expiry;
CREATE INDEX output_expiry ON output (expires_at, id);
CREATE INDEX snapshot_expiry ON snapshot (expires_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX handoff_expiry ON handoff (expires_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX budget_expiry ON budget (expires_at, id);

-- What has expired, in all.
CREATE TABLE expired (kind TEXT PRIMARY KEY, items INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO expired SELECT kind, expired FROM holding;

-- How much each token keeps of each kind. What a call is about to write is reserved before.
DROP TRIGGER output_added;
DROP TRIGGER output_gone;
DROP TRIGGER snapshot_added;
DROP TRIGGER snapshot_gone;
DROP TRIGGER budget_added;
DROP TRIGGER budget_gone;
DROP TABLE holding;
CREATE TABLE holding (
  owner TEXT NOT NULL,
  kind TEXT NOT NULL,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (owner, kind)
) STRICT, WITHOUT ROWID;

INSERT INTO holding SELECT created_by, 'output', count(*), sum(bytes) FROM output GROUP BY created_by;
INSERT INTO holding SELECT created_by, 'snapshot', count(*), sum(bytes) FROM snapshot GROUP BY created_by;
INSERT INTO holding SELECT created_by, 'handoff', count(*), sum(bytes) FROM handoff GROUP BY created_by;
INSERT INTO holding SELECT created_by, 'budget', count(*), sum(bytes) FROM budget GROUP BY created_by;

CREATE VIEW kept AS SELECT owner, sum(items) AS items, sum(bytes) AS bytes FROM holding GROUP BY owner;

CREATE TRIGGER output_added AFTER INSERT ON output BEGIN
  INSERT INTO holding VALUES (new.created_by, 'output', 1, new.bytes)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER output_gone AFTER DELETE ON output BEGIN
  UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE owner = old.created_by AND kind = 'output';
END;
CREATE TRIGGER snapshot_added AFTER INSERT ON snapshot BEGIN
  INSERT INTO holding VALUES (new.created_by, 'snapshot', 1, new.bytes)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER snapshot_gone AFTER DELETE ON snapshot BEGIN
  UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE owner = old.created_by AND kind = 'snapshot';
  DELETE FROM mention WHERE owner = old.id;
END;
CREATE TRIGGER handoff_added AFTER INSERT ON handoff BEGIN
  INSERT INTO holding VALUES (new.created_by, 'handoff', 1, new.bytes)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER handoff_gone AFTER DELETE ON handoff BEGIN
  UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE owner = old.created_by AND kind = 'handoff';
  DELETE FROM mention WHERE owner = old.id;
END;
CREATE TRIGGER budget_added AFTER INSERT ON budget BEGIN
  INSERT INTO holding VALUES (new.created_by, 'budget', 1, new.bytes)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER budget_gone AFTER DELETE ON budget BEGIN
  UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE owner = old.created_by AND kind = 'budget';
END;
