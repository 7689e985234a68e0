CREATE TABLE session (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, so that a leftover thought cannot join a later session
  handle TEXT NOT NULL UNIQUE,
  title TEXT,
  caller TEXT NOT NULL,
  is_default INTEGER NOT NULL, -- begun by a thought that named no session
  is_open INTEGER NOT NULL DEFAULT 1, -- the last thought asks for another
  thoughts INTEGER NOT NULL DEFAULT 0,
  last_number INTEGER NOT NULL DEFAULT 0,
  last_total INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

CREATE INDEX session_by_caller ON session (caller, updated_at, id);

CREATE TABLE branch (
  id INTEGER PRIMARY KEY,
  session_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  from_number INTEGER NOT NULL, -- as the first thought of the branch said
  from_line INTEGER, -- where that thought is: neither when there is none
  from_position INTEGER,
  thoughts INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX branch_name ON branch (session_id, name);

-- One row per thought, with what was said as it was said. `line` is the branch that the thought belongs to, 0 for the
-- main line. `revised_position` is what `revises` was found to mean.
CREATE TABLE thought (
  id INTEGER PRIMARY KEY,
  session_id INTEGER NOT NULL,
  position INTEGER NOT NULL, -- from 1, without gaps
  line INTEGER NOT NULL,
  number INTEGER NOT NULL,
  total INTEGER NOT NULL,
  next_needed INTEGER NOT NULL,
  is_revision INTEGER,
  revises INTEGER,
  branch_from INTEGER,
  branch_id TEXT,
  needs_more INTEGER,
  revised_position INTEGER,
  text TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX thought_position ON thought (session_id, position);
CREATE INDEX thought_line ON thought (session_id, line, position);
CREATE INDEX thought_number ON thought (session_id, number, line, position);
CREATE INDEX thought_revision ON thought (session_id, position) WHERE revised_position IS NOT NULL;

-- Sessions that are deleted, and whose thoughts are still being taken away piece by piece.
CREATE TABLE leftover (session_id INTEGER PRIMARY KEY) STRICT;
