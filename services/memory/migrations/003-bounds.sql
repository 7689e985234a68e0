-- A walk or a page takes the relations of one entity in order, and as many as it has room for.
CREATE INDEX relation_live_from ON relation (from_id, relation_id, to_id) WHERE valid_to IS NULL;
DROP INDEX relation_live_to;
CREATE INDEX relation_live_to ON relation (to_id, relation_id, from_id) WHERE valid_to IS NULL;

-- A memory that has expired stays, but is taken out of the posting lists.
ALTER TABLE memory ADD COLUMN is_indexed INTEGER NOT NULL DEFAULT 1;
CREATE INDEX memory_expiring ON memory (expires_at)
  WHERE valid_to IS NULL AND expires_at IS NOT NULL AND is_indexed = 1;
