CREATE TABLE chain (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, so that a leftover step cannot join a later chain
  uid BLOB NOT NULL CHECK (length(uid) = 16), -- the trace id
  owner TEXT NOT NULL,
  parent_id INTEGER, -- the chain that this one is a part of
  origin TEXT NOT NULL CHECK (origin IN ('capture', 'import', 'otlp')),
  model TEXT NOT NULL,
  provider TEXT,
  version TEXT,
  effort TEXT,
  prompt_hash TEXT,
  agent TEXT,
  session TEXT,
  goal TEXT,
  attrs TEXT,
  status TEXT NOT NULL CHECK (status IN ('open', 'completed', 'failed', 'abandoned')),
  started_us INTEGER NOT NULL,
  updated_us INTEGER NOT NULL,
  ended_us INTEGER,
  last_seq INTEGER NOT NULL DEFAULT 0,
  n_steps INTEGER NOT NULL DEFAULT 0,
  n_analysis INTEGER NOT NULL DEFAULT 0,
  n_decision INTEGER NOT NULL DEFAULT 0,
  n_inference INTEGER NOT NULL DEFAULT 0,
  n_reflection INTEGER NOT NULL DEFAULT 0,
  tended_seq INTEGER NOT NULL DEFAULT 0, -- up to here steps are in the index of words and in `hash`
  hash BLOB
) STRICT;

CREATE UNIQUE INDEX chain_uid ON chain (owner, uid);
CREATE INDEX chain_owner ON chain (owner, id);
CREATE INDEX chain_parent ON chain (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX chain_updated ON chain (updated_us);
CREATE INDEX chain_due ON chain (id) WHERE tended_seq < last_seq;

-- id = chain × 2²⁰ + seq: a chain's steps lie side by side, in order, and a row is appended without a second index.
CREATE TABLE step (
  id INTEGER PRIMARY KEY,
  type INTEGER NOT NULL,
  subtype TEXT,
  at_us INTEGER NOT NULL,
  dur_us INTEGER,
  parent_seq INTEGER,
  confidence REAL,
  prov INTEGER NOT NULL,
  content TEXT NOT NULL,
  detail TEXT -- JSON: options, chosen, reasoning, premises, attrs
) STRICT;

-- Signatures and encrypted parts of providers, byte for byte.
CREATE TABLE step_opaque (
  step_id INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  kind TEXT NOT NULL,
  is_text INTEGER NOT NULL, -- it came as a text, and goes as one
  payload BLOB NOT NULL,
  PRIMARY KEY (step_id, idx)
) STRICT, WITHOUT ROWID;

-- Spans of OpenTelemetry that have become steps: sent again, they are known.
CREATE TABLE span (
  chain_id INTEGER NOT NULL,
  span BLOB NOT NULL CHECK (length(span) = 8),
  seq INTEGER NOT NULL, -- of its first step; 0 where it has none
  PRIMARY KEY (chain_id, span)
) STRICT, WITHOUT ROWID;

CREATE TABLE evaluation (
  id INTEGER PRIMARY KEY,
  chain_id INTEGER NOT NULL,
  seq INTEGER, -- of the step that is judged; the chain as a whole where there is none
  name TEXT NOT NULL,
  value REAL,
  label TEXT,
  explanation TEXT,
  source TEXT,
  at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX evaluation_chain ON evaluation (chain_id, id);

CREATE TABLE batch (
  owner TEXT NOT NULL,
  batch_id TEXT NOT NULL,
  sha256 BLOB NOT NULL,
  accepted INTEGER NOT NULL,
  duplicates INTEGER NOT NULL,
  rejected TEXT NOT NULL, -- JSON, as it was answered
  committed_us INTEGER NOT NULL,
  PRIMARY KEY (owner, batch_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_committed ON batch (committed_us);

-- Words. `tags` has whose step it is and of which type, so that a search passes over all others.
CREATE VIRTUAL TABLE step_fts USING fts5 (
  text, tags, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

-- What was sealed, and what was taken out on purpose: each row has the hash of the one before in its own.
CREATE TABLE seal (
  n INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('sealed', 'redacted', 'deleted', 'expired')),
  owner TEXT NOT NULL,
  uid BLOB NOT NULL,
  through_seq INTEGER NOT NULL,
  chain_hash BLOB NOT NULL,
  at_us INTEGER NOT NULL,
  by TEXT NOT NULL, -- who redacted or deleted
  reason TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE INDEX seal_chain ON seal (owner, uid, n);

-- Chains that are gone, and whose steps are taken away piece by piece.
CREATE TABLE leftover (chain_id INTEGER PRIMARY KEY, owner TEXT NOT NULL) STRICT;

-- What each token keeps: chains and steps. The thread that writes keeps it in step, once for each commit: a trigger for each
-- step would cost half as much as the step.
CREATE TABLE kept (
  owner TEXT PRIMARY KEY,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
