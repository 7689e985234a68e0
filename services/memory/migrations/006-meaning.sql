-- What an embeddings endpoint makes of the memories (meaning/). A vector is as many signed bytes as it has dimensions.
CREATE TABLE memory_vector (
  id INTEGER PRIMARY KEY REFERENCES memory (id) ON DELETE CASCADE,
  vector BLOB NOT NULL
) STRICT;

-- Whose vectors they are, and how far they go: the live memories after `reached` are the queue. `refused` counts those that
-- the endpoint did not take.
CREATE TABLE meaning (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  model TEXT NOT NULL,
  dimensions INTEGER,
  reached INTEGER NOT NULL DEFAULT 0,
  refused INTEGER NOT NULL DEFAULT 0
) STRICT;
