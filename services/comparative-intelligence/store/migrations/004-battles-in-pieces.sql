-- How many battles there are with this batch and those before it: a state of the data is such a number.
ALTER TABLE batch ADD COLUMN through INTEGER;
UPDATE batch SET through = last FROM (SELECT batch, max(id) AS last FROM battle GROUP BY batch) AS held WHERE held.batch = batch.id;
CREATE UNIQUE INDEX batch_through ON batch (through);

-- Batches of which not all battles are there yet, or that were left; nobody sees their battles. None has an id before the first.
CREATE TABLE unfinished (batch INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT;

-- Sums of a batch that came in pieces, until they are added to pair_agg.
CREATE TABLE pair_due (
  id INTEGER PRIMARY KEY,
  batch INTEGER NOT NULL,
  judge INTEGER NOT NULL,
  task_type INTEGER NOT NULL,
  a INTEGER NOT NULL,
  b INTEGER NOT NULL,
  wa INTEGER NOT NULL,
  wb INTEGER NOT NULL,
  t INTEGER NOT NULL,
  bb INTEGER NOT NULL
) STRICT;
CREATE INDEX pair_due_batch ON pair_due (batch);

-- Sums of all battles that are to be seen; a pair may have several rows.
CREATE VIEW pair_sum AS
  SELECT judge, task_type, a, b, wa, wb, t, bb FROM pair_agg
  UNION ALL
  SELECT judge, task_type, a, b, wa, wb, t, bb FROM pair_due WHERE batch NOT IN (SELECT batch FROM unfinished);
