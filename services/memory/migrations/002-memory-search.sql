-- The word index of the memory table, kept by search/memory-search.ts. It holds nothing that cannot be rebuilt from memory.

-- One line per project: its share of every posting list has its own key, its word statistics are its own.
CREATE TABLE memory_scope (
  id INTEGER PRIMARY KEY,
  project TEXT NOT NULL UNIQUE, -- '' holds the memories without project
  memories INTEGER NOT NULL DEFAULT 0,
  terms INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Where a term occurs, in blocks ordered by memory row id (search/postings.ts has the format of a block).
CREATE TABLE memory_posting (
  term TEXT NOT NULL, -- a word; '#' and a tag; '@' and a word of a speaker's name
  scope INTEGER NOT NULL REFERENCES memory_scope (id),
  first_id INTEGER NOT NULL, -- not above the first id of the block, above the last of the block before
  block BLOB NOT NULL,
  PRIMARY KEY (term, scope, first_id)
) STRICT, WITHOUT ROWID;

-- The neighbours of a memory; with valid_to as a column, reading them does not touch the table.
CREATE INDEX memory_by_session ON memory (project, session, valid_to, memory_id) WHERE session IS NOT NULL;

-- The memories of a time, whether current or not.
CREATE INDEX memory_by_time ON memory (occurred_at);
