-- The lines of a stretch of time. A file of its own, so that what is too old goes with its file.
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  source TEXT NOT NULL,
  UNIQUE (service, source)
) STRICT;

CREATE TABLE batches (
  id INTEGER PRIMARY KEY,
  observed_ms INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL
) STRICT;

-- at_ms only where the place is not in the millisecond of the line.
CREATE TABLE lines (
  id INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  level INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  at_ms INTEGER,
  message TEXT NOT NULL,
  trace TEXT,
  fields TEXT
) STRICT;

-- So that counting over time reads no lines.
CREATE TABLE counts (
  minute INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  level INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (minute, stream, level)
) STRICT, WITHOUT ROWID;

-- Which lines have a word, and no more: where it stands is found in the line.
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', detail = none, columnsize = 0, tokenize = 'unicode61');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
-- Each batch is gathered in memory and written once; few parts make searching fast, many make writing fast.
INSERT INTO words (words, rank) VALUES ('hashsize', 67108864), ('automerge', 8);
-- What is taken out is overwritten, and not only marked.
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
