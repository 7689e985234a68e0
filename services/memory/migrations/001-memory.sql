-- Nothing is overwritten: what ends stays, with the change that ended it. In every table `id` names a version, the
-- `<table>_id` column names the thing through all its versions, and the live version has no `valid_to`.

CREATE TABLE change (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  caller TEXT NOT NULL,
  tool TEXT NOT NULL,
  undoes INTEGER REFERENCES change (id)
) STRICT;

CREATE INDEX change_at ON change (at);
CREATE INDEX change_caller ON change (caller);
CREATE INDEX change_undoes ON change (undoes) WHERE undoes IS NOT NULL;

CREATE TRIGGER change_is_never_altered BEFORE UPDATE ON change
BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER change_is_never_deleted BEFORE DELETE ON change
BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;

CREATE TABLE entity (
  id INTEGER PRIMARY KEY,
  entity_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  valid_from INTEGER NOT NULL REFERENCES change (id),
  valid_to INTEGER REFERENCES change (id)
) STRICT;

CREATE UNIQUE INDEX entity_live_id ON entity (entity_id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX entity_live_name ON entity (name) WHERE valid_to IS NULL;
CREATE INDEX entity_live_type ON entity (type) WHERE valid_to IS NULL;
CREATE INDEX entity_versions ON entity (entity_id);
CREATE INDEX entity_name ON entity (name);
CREATE INDEX entity_from ON entity (valid_from);
CREATE INDEX entity_to ON entity (valid_to) WHERE valid_to IS NOT NULL;

CREATE TABLE observation (
  id INTEGER PRIMARY KEY,
  observation_id INTEGER NOT NULL,
  entity_id INTEGER NOT NULL,
  text TEXT NOT NULL,
  valid_from INTEGER NOT NULL REFERENCES change (id),
  valid_to INTEGER REFERENCES change (id)
) STRICT;

CREATE UNIQUE INDEX observation_live_id ON observation (observation_id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX observation_live_text ON observation (entity_id, text) WHERE valid_to IS NULL;
CREATE INDEX observation_live_order ON observation (entity_id, observation_id) WHERE valid_to IS NULL;
CREATE INDEX observation_entity ON observation (entity_id);
CREATE INDEX observation_from ON observation (valid_from);
CREATE INDEX observation_to ON observation (valid_to) WHERE valid_to IS NOT NULL;

CREATE TABLE relation (
  id INTEGER PRIMARY KEY,
  relation_id INTEGER NOT NULL,
  from_id INTEGER NOT NULL,
  to_id INTEGER NOT NULL,
  type TEXT NOT NULL,
  valid_from INTEGER NOT NULL REFERENCES change (id),
  valid_to INTEGER REFERENCES change (id)
) STRICT;

CREATE UNIQUE INDEX relation_live_id ON relation (relation_id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX relation_live ON relation (from_id, to_id, type) WHERE valid_to IS NULL;
CREATE INDEX relation_live_to ON relation (to_id) WHERE valid_to IS NULL;
CREATE INDEX relation_source ON relation (from_id);
CREATE INDEX relation_target ON relation (to_id);
CREATE INDEX relation_from ON relation (valid_from);
CREATE INDEX relation_to ON relation (valid_to) WHERE valid_to IS NOT NULL;

CREATE TABLE memory (
  id INTEGER PRIMARY KEY,
  memory_id INTEGER NOT NULL,
  text TEXT NOT NULL,
  project TEXT,
  session TEXT,
  speaker TEXT,
  tags TEXT NOT NULL DEFAULT '[]',
  occurred_at TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT,
  valid_from INTEGER NOT NULL REFERENCES change (id),
  valid_to INTEGER REFERENCES change (id)
) STRICT;

CREATE UNIQUE INDEX memory_live_id ON memory (memory_id) WHERE valid_to IS NULL;
CREATE INDEX memory_live_order ON memory (occurred_at, memory_id) WHERE valid_to IS NULL;
CREATE INDEX memory_live_project ON memory (project, occurred_at, memory_id) WHERE valid_to IS NULL;
CREATE INDEX memory_live_session ON memory (session, occurred_at, memory_id) WHERE valid_to IS NULL;
CREATE INDEX memory_versions ON memory (memory_id);
CREATE INDEX memory_from ON memory (valid_from);
CREATE INDEX memory_to ON memory (valid_to) WHERE valid_to IS NOT NULL;

CREATE TABLE file (
  id INTEGER PRIMARY KEY,
  file_id INTEGER NOT NULL,
  path TEXT NOT NULL,
  text TEXT NOT NULL,
  valid_from INTEGER NOT NULL REFERENCES change (id),
  valid_to INTEGER REFERENCES change (id)
) STRICT;

CREATE UNIQUE INDEX file_live_id ON file (file_id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX file_live_path ON file (path) WHERE valid_to IS NULL;
CREATE INDEX file_versions ON file (file_id);
CREATE INDEX file_path ON file (path);
CREATE INDEX file_from ON file (valid_from);
CREATE INDEX file_to ON file (valid_to) WHERE valid_to IS NOT NULL;

-- Which change touched which entity: in itself, its observations or its relations.
CREATE VIEW entity_change (change_id, entity_id) AS
  SELECT valid_from, entity_id FROM entity
  UNION ALL SELECT valid_to, entity_id FROM entity WHERE valid_to IS NOT NULL
  UNION ALL SELECT valid_from, entity_id FROM observation
  UNION ALL SELECT valid_to, entity_id FROM observation WHERE valid_to IS NOT NULL
  UNION ALL SELECT valid_from, from_id FROM relation
  UNION ALL SELECT valid_to, from_id FROM relation WHERE valid_to IS NOT NULL
  UNION ALL SELECT valid_from, to_id FROM relation
  UNION ALL SELECT valid_to, to_id FROM relation WHERE valid_to IS NOT NULL;

-- Every version of everything, in words: what get_history shows.
CREATE VIEW fact (kind, valid_from, valid_to, text) AS
  SELECT 'entity', valid_from, valid_to, name || ' (' || type || ')' FROM entity
  UNION ALL SELECT 'observation', o.valid_from, o.valid_to,
    (SELECT name FROM entity WHERE entity_id = o.entity_id ORDER BY id DESC LIMIT 1) || ': ' || o.text
    FROM observation AS o
  UNION ALL SELECT 'relation', r.valid_from, r.valid_to,
    (SELECT name FROM entity WHERE entity_id = r.from_id ORDER BY id DESC LIMIT 1) || ' ' || r.type || ' ' ||
    (SELECT name FROM entity WHERE entity_id = r.to_id ORDER BY id DESC LIMIT 1)
    FROM relation AS r
  UNION ALL SELECT 'memory', valid_from, valid_to, memory_id || ': ' || text FROM memory
  UNION ALL SELECT 'file', valid_from, valid_to, path FROM file;

-- What search_nodes finds, live versions only. A row is an observation under its version's id, or the name and type of
-- an entity under the negative of its version's id. `node_words` ranks; `node_substrings` holds lower-cased text whose
-- trigrams make the official server's substring match exact and fast.
CREATE VIRTUAL TABLE node_words USING fts5(
  name, type, text, entity_id UNINDEXED,
  content = '', contentless_delete = 1, contentless_unindexed = 1, tokenize = 'unicode61'
);
CREATE VIRTUAL TABLE node_substrings USING fts5(
  name, type, text, entity_id UNINDEXED,
  tokenize = 'trigram case_sensitive 1'
);
