CREATE TABLE insight (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL, -- the token that added it
  text TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;

-- What each token keeps.
CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TRIGGER insight_kept AFTER INSERT ON insight BEGIN
  INSERT INTO kept (owner, items, bytes) VALUES (new.owner, 1, octet_length(new.text))
  ON CONFLICT (owner) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
