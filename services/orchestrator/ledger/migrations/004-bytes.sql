-- What owners keep is counted in bytes; it was in characters. Done anew for all that is there.
DROP TRIGGER project_added;
DROP TRIGGER project_changed;
DROP TRIGGER project_gone;
CREATE TRIGGER project_added AFTER INSERT ON project BEGIN
  INSERT INTO kept VALUES (NEW.owner, 1, octet_length(NEW.brief) + 500)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER project_changed AFTER UPDATE OF brief ON project BEGIN
  UPDATE kept SET bytes = bytes + octet_length(NEW.brief) - octet_length(OLD.brief) WHERE owner = NEW.owner;
END;
CREATE TRIGGER project_gone AFTER DELETE ON project BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - octet_length(OLD.brief) - 500 WHERE owner = OLD.owner;
END;
UPDATE task SET bytes = 500 + octet_length(title)
  + coalesce((SELECT octet_length(body) FROM work WHERE work.task = task.seq), 0)
  + coalesce((SELECT octet_length(body) FROM result WHERE result.task = task.seq), 0)
  + coalesce((SELECT octet_length(body) FROM merge WHERE merge.task = task.seq), 0);
UPDATE kept SET bytes = coalesce((SELECT sum(bytes) FROM task WHERE task.owner = kept.owner), 0)
  + coalesce((SELECT sum(octet_length(brief) + 500) FROM project WHERE project.owner = kept.owner), 0);
