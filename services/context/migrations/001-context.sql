-- Texts that were stored, or left out of an answer. The id is the handle, made from the text, level and session: the same again is
-- the same row.
CREATE TABLE output (
  id TEXT PRIMARY KEY,
  level TEXT NOT NULL,
  session_id TEXT,
  label TEXT,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  length INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;

CREATE INDEX output_order ON output (created_at, id);
CREATE INDEX output_expiry ON output (expires_at);

-- `entries` is a JSON array of {key, text}.
CREATE TABLE snapshot (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  level TEXT NOT NULL,
  session_id TEXT,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT,
  entry_count INTEGER NOT NULL,
  length INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  entries TEXT NOT NULL
) STRICT;

CREATE INDEX snapshot_order ON snapshot (created_at, id);
CREATE INDEX snapshot_expiry ON snapshot (expires_at) WHERE expires_at IS NOT NULL;

-- `sections` is a JSON object of the fixed sections.
CREATE TABLE handoff (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('open', 'accepted')),
  session_id TEXT,
  meant_for TEXT,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  accepted_by TEXT,
  accepted_at TEXT,
  expires_at TEXT,
  bytes INTEGER NOT NULL,
  sections TEXT NOT NULL,
  CHECK ((state = 'accepted') = (accepted_at IS NOT NULL))
) STRICT;

CREATE INDEX handoff_order ON handoff (created_at, id);
CREATE INDEX handoff_expiry ON handoff (expires_at) WHERE expires_at IS NOT NULL;

-- Outputs that a snapshot or handoff names are kept as long as it is.
CREATE TABLE mention (
  owner TEXT NOT NULL,
  handle TEXT NOT NULL,
  PRIMARY KEY (owner, handle)
) STRICT, WITHOUT ROWID;

CREATE INDEX mention_handle ON mention (handle);

CREATE TABLE budget (
  id TEXT PRIMARY KEY,
  token_limit INTEGER NOT NULL,
  consumed INTEGER NOT NULL CHECK (consumed BETWEEN 0 AND token_limit),
  uses INTEGER NOT NULL,
  bytes INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  changed_at TEXT NOT NULL,
  expires_at TEXT NOT NULL
) STRICT;

CREATE INDEX budget_expiry ON budget (expires_at);

-- How much there is of each, kept by the triggers, and how much has expired, kept by the purge.
CREATE TABLE holding (
  kind TEXT PRIMARY KEY,
  items INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO holding (kind) VALUES ('output'), ('snapshot'), ('handoff'), ('budget');

CREATE TRIGGER output_added AFTER INSERT ON output
BEGIN UPDATE holding SET items = items + 1, bytes = bytes + new.bytes WHERE kind = 'output'; END;
CREATE TRIGGER output_gone AFTER DELETE ON output
BEGIN UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE kind = 'output'; END;
CREATE TRIGGER snapshot_added AFTER INSERT ON snapshot
BEGIN UPDATE holding SET items = items + 1, bytes = bytes + new.bytes WHERE kind = 'snapshot'; END;
CREATE TRIGGER snapshot_gone AFTER DELETE ON snapshot
BEGIN UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE kind = 'snapshot'; END;
CREATE TRIGGER handoff_added AFTER INSERT ON handoff
BEGIN UPDATE holding SET items = items + 1, bytes = bytes + new.bytes WHERE kind = 'handoff'; END;
CREATE TRIGGER handoff_gone AFTER DELETE ON handoff
BEGIN UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE kind = 'handoff'; END;
CREATE TRIGGER budget_added AFTER INSERT ON budget
BEGIN UPDATE holding SET items = items + 1 WHERE kind = 'budget'; END;
CREATE TRIGGER budget_gone AFTER DELETE ON budget
BEGIN UPDATE holding SET items = items - 1 WHERE kind = 'budget'; END;
