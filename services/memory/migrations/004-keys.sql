-- Whether an entity says something already is looked up by the length and the beginning of the text: long texts as keys are
-- slow to compare, and a second copy of all that is stored.
DROP INDEX observation_live_text;
CREATE INDEX observation_live_text ON observation (entity_id, length(text), substr(text, 1, 64)) WHERE valid_to IS NULL;

-- Whether an entity was spoken of since a change.
DROP INDEX observation_entity;
CREATE INDEX observation_entity ON observation (entity_id, valid_from);

-- Generations of the word index of the memories: one is searched, and the next one built beside it when words are made
-- differently (search/memory-index.ts). `reached` is the last memory that it has while it is being built. In memory_scope and
-- memory_posting each generation has a range of scopes of its own, and in front of a project its number and NUL, except for
-- the first.
CREATE TABLE memory_index (
  generation INTEGER PRIMARY KEY,
  analyzer INTEGER NOT NULL,
  memories INTEGER NOT NULL,
  terms INTEGER NOT NULL,
  reached INTEGER
) STRICT;
INSERT INTO memory_index (generation, analyzer, memories, terms)
  SELECT 1, 1, coalesce(sum(memories), 0), coalesce(sum(terms), 0) FROM memory_scope;

-- What search_nodes finds, without a copy of it: `node_words` ranks, `node_trigrams` holds the trigrams of lower-cased text.
-- Rows as before: observations under their ids, names and types of entities under the negative of theirs. `node_index` says up
-- to which rows they are built, `NULL` for all (graph/node-index.ts).
DROP TABLE node_words;
DROP TABLE node_substrings;
CREATE VIRTUAL TABLE node_words USING fts5(
  name, type, text, content = '', contentless_delete = 1, tokenize = 'unicode61'
);
CREATE VIRTUAL TABLE node_trigrams USING fts5(
  text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);
CREATE TABLE node_index (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  analyzer INTEGER NOT NULL,
  entity INTEGER,
  observation INTEGER
) STRICT;
INSERT INTO node_index (one, analyzer, entity, observation) VALUES (1, 0, 0, 0);

-- The name of an entity in NFC, where that is not how it is written: both mean the same entity. For those that there are, it is
-- written together with the index of their words.
ALTER TABLE entity ADD COLUMN composed TEXT;
CREATE INDEX entity_composed ON entity (composed) WHERE composed IS NOT NULL;
