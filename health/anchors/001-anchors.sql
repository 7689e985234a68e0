-- One row per minute in which a trail went on: how far it had come at the last poll of that minute. A line is a run of heads
-- each of which came after the one before; another one begins when a chain goes back, so that nothing seen is overwritten.
CREATE TABLE anchors (
  name TEXT NOT NULL,
  chain TEXT NOT NULL,
  line INTEGER NOT NULL,
  minute INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  hash TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (name, chain, line, minute)
) STRICT, WITHOUT ROWID;
