-- Each token lets go of its own decisions alone: how many it has, and the number before which it has none.
ALTER TABLE owner ADD COLUMN decisions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owner ADD COLUMN oldest INTEGER NOT NULL DEFAULT 0;
UPDATE owner SET decisions = n, oldest = first
  FROM (SELECT owner, count(*) AS n, min(id) AS first FROM decision GROUP BY owner) AS held WHERE held.owner = owner.id;

-- The newest decision of a token on a model; each names the one before it of both. So what a token lets go is the end of its own strands.
CREATE TABLE strand (model INTEGER NOT NULL, owner INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (model, owner)) STRICT, WITHOUT ROWID;
INSERT INTO strand SELECT model, owner, max(id) FROM decision GROUP BY model, owner;
WITH earlier AS (SELECT id, lag(id, 1, 0) OVER (PARTITION BY model, owner ORDER BY id) AS previous FROM decision)
UPDATE decision SET previous = earlier.previous FROM earlier WHERE earlier.id = decision.id AND earlier.previous <> decision.previous;
ALTER TABLE model DROP COLUMN last;

-- No change after this one is gone.
UPDATE counter SET name = 'last_gone', value = value - 1 WHERE name = 'first_kept';

-- Runs of uids, by their last decision, with how many decisions of each are still kept.
CREATE TABLE run (last INTEGER PRIMARY KEY, live INTEGER NOT NULL) STRICT;
INSERT INTO run SELECT DISTINCT run, 0 FROM uid_run;
UPDATE run SET live = (
  SELECT count(*) FROM decision WHERE id <= last AND id > coalesce((SELECT max(older.last) FROM run AS older WHERE older.last < run.last), 0)
);

-- An outcome that came later counts as an item of the token that said it.
INSERT INTO kept SELECT name, count(*), sum(80 + coalesce(octet_length(evaluator), 0))
  FROM outcome_event JOIN owner ON owner.id = outcome_event.owner GROUP BY name
  ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes;
