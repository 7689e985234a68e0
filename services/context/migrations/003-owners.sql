-- A text that several tokens store is an output of each, with the same handle: the id is the handle and the owner.
ALTER TABLE output ADD COLUMN handle TEXT NOT NULL DEFAULT '';
UPDATE output SET handle = id, id = id || '/' || created_by;
CREATE INDEX output_handle ON output (handle);

-- What a snapshot or handoff keeps is an output of its own token. What it kept of others before stays kept.
ALTER TABLE mention RENAME COLUMN handle TO output_id;
UPDATE mention SET output_id = output_id || '/' || coalesce(
  (SELECT created_by FROM output WHERE output.handle = output_id),
  (SELECT created_by FROM snapshot WHERE snapshot.id = owner),
  (SELECT created_by FROM handoff WHERE handoff.id = owner),
  '');

-- The names of budgets are those of a token: two tokens may each have one of the same name. Of the old ones, each stays with
-- the token that set it.
CREATE TABLE budget_of_token (
  id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(8)))),
  name TEXT NOT NULL,
  token_limit INTEGER NOT NULL,
  consumed INTEGER NOT NULL CHECK (consumed BETWEEN 0 AND token_limit),
  uses INTEGER NOT NULL,
  bytes INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  changed_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  UNIQUE (created_by, name)
) STRICT;

INSERT INTO budget_of_token (name, token_limit, consumed, uses, bytes, created_by, changed_at, expires_at)
SELECT id, token_limit, consumed, uses, bytes, created_by, changed_at, expires_at FROM budget;

DROP TABLE budget;
ALTER TABLE budget_of_token RENAME TO budget;
CREATE INDEX budget_expiry ON budget (expires_at, id);

CREATE TRIGGER budget_added AFTER INSERT ON budget BEGIN
  INSERT INTO holding VALUES (new.created_by, 'budget', 1, new.bytes)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER budget_gone AFTER DELETE ON budget BEGIN
  UPDATE holding SET items = items - 1, bytes = bytes - old.bytes WHERE owner = old.created_by AND kind = 'budget';
END;
