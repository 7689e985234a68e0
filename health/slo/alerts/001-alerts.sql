-- One row per alert. Times are milliseconds since the epoch.
CREATE TABLE alerts (
  id INTEGER PRIMARY KEY,
  -- What it is about: one alert of a key is open at a time.
  key TEXT NOT NULL,
  kind TEXT NOT NULL,
  severity TEXT NOT NULL CHECK (severity IN ('page', 'ticket')),
  subject TEXT NOT NULL,
  summary TEXT NOT NULL,
  since_ms INTEGER NOT NULL,
  opened_ms INTEGER NOT NULL,
  resolved_ms INTEGER,
  -- When it was told last; null as long as a maintenance window keeps it quiet.
  told_ms INTEGER,
  -- What was found about it when it opened, as JSON.
  evidence TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX open_alerts ON alerts (key) WHERE resolved_ms IS NULL;
CREATE INDEX alerts_by_time ON alerts (opened_ms);

-- Messages that a webhook has not taken yet, oldest first. No address stands here: a webhook is known by a hash of its own.
CREATE TABLE outbox (
  id TEXT PRIMARY KEY,
  webhook TEXT NOT NULL,
  message TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  next_ms INTEGER NOT NULL,
  failure TEXT
) STRICT;

CREATE TABLE tallies (
  name TEXT PRIMARY KEY,
  count INTEGER NOT NULL
) STRICT;

-- Windows that began, of which nobody is told and no budget is spent. `processes` is a list in JSON, or null for all.
CREATE TABLE maintenance (
  id INTEGER PRIMARY KEY,
  processes TEXT,
  from_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  reason TEXT NOT NULL,
  -- The token that began it, or empty where the file of recurring windows did, by this name.
  started_by TEXT NOT NULL,
  recurring TEXT,
  UNIQUE (recurring, from_ms)
) STRICT;
