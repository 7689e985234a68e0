CREATE TABLE task (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  status TEXT NOT NULL, -- working, completed, failed or cancelled
  outcome TEXT -- the result of a completed task, the error of a failed one, as JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX task_by_owner ON task (owner);
CREATE INDEX task_by_age ON task (created_ms);
