CREATE TABLE session (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, so that a leftover file cannot join a later session
  handle TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  name TEXT,
  runs INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  used_at TEXT NOT NULL
) STRICT;

CREATE INDEX session_by_owner ON session (owner, used_at, id);

-- A file as it was when the last run ended, or as it was written since.
CREATE TABLE file (
  session_id INTEGER NOT NULL,
  path TEXT NOT NULL,
  owner TEXT NOT NULL,
  content INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  changed_at TEXT NOT NULL,
  PRIMARY KEY (session_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE piece (
  content INTEGER NOT NULL,
  number INTEGER NOT NULL, -- from 0, all but the last of one size
  bytes BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX piece_of_content ON piece (content, number);

-- Contents that no file has: what was being written when the service ended, and what is being taken away.
CREATE TABLE leftover (content INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;

CREATE TABLE kept (
  owner TEXT PRIMARY KEY,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER session_added AFTER INSERT ON session BEGIN
  INSERT INTO kept VALUES (new.owner, 1, 300)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + 300;
END;
CREATE TRIGGER session_gone AFTER DELETE ON session BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - 300 WHERE owner = old.owner;
END;
CREATE TRIGGER file_added AFTER INSERT ON file BEGIN
  INSERT INTO kept VALUES (new.owner, 0, new.bytes + 300)
  ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER file_gone AFTER DELETE ON file BEGIN
  UPDATE kept SET bytes = bytes - old.bytes - 300 WHERE owner = old.owner;
  INSERT INTO leftover VALUES (old.content);
END;
