-- Of a task with a repository: found by it, the title may change.
ALTER TABLE task ADD COLUMN branch TEXT;

-- What came of the last try to merge it. JSON: {commit, merged_by, merged_at}, or {files, note, reported_by, reported_at}.
CREATE TABLE merge (task BIGINT PRIMARY KEY REFERENCES task ON DELETE CASCADE, body TEXT NOT NULL);
