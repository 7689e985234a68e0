-- What owners keep is counted in bytes; it was in characters. Done anew for all that is there.
CREATE OR REPLACE FUNCTION keep_more() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  more_items BIGINT := CASE TG_OP WHEN 'INSERT' THEN 1 WHEN 'DELETE' THEN -1 ELSE 0 END;
  more_bytes BIGINT := 0;
  whose TEXT;
BEGIN
  IF TG_TABLE_NAME = 'task' THEN
    IF TG_OP <> 'DELETE' THEN more_bytes := NEW.bytes; whose := NEW.owner; END IF;
    IF TG_OP <> 'INSERT' THEN more_bytes := more_bytes - OLD.bytes; whose := OLD.owner; END IF;
  ELSE
    IF TG_OP <> 'DELETE' THEN more_bytes := octet_length(NEW.brief) + 500; whose := NEW.owner; END IF;
    IF TG_OP <> 'INSERT' THEN more_bytes := more_bytes - octet_length(OLD.brief) - 500; whose := OLD.owner; END IF;
  END IF;
  IF TG_OP = 'INSERT' THEN
    INSERT INTO kept VALUES (whose, 1, more_bytes)
    ON CONFLICT (owner) DO UPDATE SET items = kept.items + 1, bytes = kept.bytes + excluded.bytes;
  ELSE
    UPDATE kept SET items = items + more_items, bytes = bytes + more_bytes WHERE owner = whose;
  END IF;
  RETURN NULL;
END $$;
UPDATE task SET bytes = 500 + octet_length(title)
  + coalesce((SELECT octet_length(body) FROM work WHERE work.task = task.seq), 0)
  + coalesce((SELECT octet_length(body) FROM result WHERE result.task = task.seq), 0)
  + coalesce((SELECT octet_length(body) FROM merge WHERE merge.task = task.seq), 0);
UPDATE kept SET bytes = coalesce((SELECT sum(bytes) FROM task WHERE task.owner = kept.owner), 0)
  + coalesce((SELECT sum(octet_length(brief) + 500) FROM project WHERE project.owner = kept.owner), 0);
