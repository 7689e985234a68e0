-- What each token keeps: all versions of what its changes began, and about how many bytes they take on the disk with their
-- indexes. Kept by the journal; what was there is counted here, by the same measures (limits.ts).
CREATE TABLE kept (
  owner TEXT PRIMARY KEY,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO kept (owner, items, bytes)
  SELECT caller, count(*), CAST(total(bytes) AS INTEGER) FROM (
    SELECT valid_from, 220 + 4 * octet_length(name || type) AS bytes FROM entity
    UNION ALL SELECT valid_from, 180 + 2.5 * octet_length(text) FROM observation
    UNION ALL SELECT valid_from, 120 + octet_length(type) FROM relation
    UNION ALL SELECT valid_from, 320 + 1.7 * octet_length(text) FROM memory
    UNION ALL SELECT valid_from, 300 + 1.05 * octet_length(path || text) FROM file
  ) JOIN change ON change.id = valid_from GROUP BY caller;

-- The changes of which not all rows are there any more: they cannot be taken back.
CREATE TABLE purged (
  change_id INTEGER PRIMARY KEY REFERENCES change (id)
) STRICT;

DROP VIEW fact;
CREATE VIEW fact (kind, valid_from, valid_to, text) AS
  SELECT 'entity', valid_from, valid_to, name || ' (' || type || ')' FROM entity
  UNION ALL SELECT 'observation', o.valid_from, o.valid_to,
    coalesce((SELECT name FROM entity WHERE entity_id = o.entity_id ORDER BY id DESC LIMIT 1), '?') || ': ' || o.text
    FROM observation AS o
  UNION ALL SELECT 'relation', r.valid_from, r.valid_to,
    coalesce((SELECT name FROM entity WHERE entity_id = r.from_id ORDER BY id DESC LIMIT 1), '?') || ' ' || r.type || ' ' ||
    coalesce((SELECT name FROM entity WHERE entity_id = r.to_id ORDER BY id DESC LIMIT 1), '?')
    FROM relation AS r
  UNION ALL SELECT 'memory', valid_from, valid_to, memory_id || ': ' || text FROM memory
  UNION ALL SELECT 'file', valid_from, valid_to, path FROM file;
