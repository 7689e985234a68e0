-- Of a task whose branch is checked out in the repository itself: where that is. Of those in one folder one is given out at a time.
ALTER TABLE task ADD COLUMN folder TEXT;
CREATE INDEX task_folder ON task (folder) WHERE folder IS NOT NULL AND lease_until IS NOT NULL;
UPDATE task SET folder = body::json #>> '{repository,path}' FROM work
WHERE work.task = task.seq AND branch IS NOT NULL AND ended_at IS NULL AND body::json #>> '{repository,mode}' = 'branch';
