-- The client that began a session without a name, where the protocol tells clients of one token apart; and how the session begins.
ALTER TABLE session ADD COLUMN client TEXT;
ALTER TABLE session ADD COLUMN first TEXT;
UPDATE session SET first = (SELECT substr(text, 1, 201) FROM thought WHERE session_id = session.id AND position = 1);

-- For thoughts that name no session.
CREATE INDEX session_default ON session (caller, client, is_open, updated_at) WHERE is_default;
CREATE INDEX session_default_number ON session (caller, client, is_open, last_number, updated_at) WHERE is_default;

-- Who added a thought, maybe to the session of another.
ALTER TABLE thought ADD COLUMN owner TEXT;
UPDATE thought SET owner = (SELECT caller FROM session WHERE id = thought.session_id);

-- What each token keeps: sessions and thoughts, with what surrounds their texts on the disk.
CREATE TABLE kept (
  owner TEXT PRIMARY KEY,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO kept
SELECT owner, count(*), sum(bytes) FROM (
  SELECT caller AS owner, 200 AS bytes FROM session
  UNION ALL SELECT owner, octet_length(text) + 200 FROM thought WHERE owner IS NOT NULL
) GROUP BY owner;

CREATE TRIGGER session_added AFTER INSERT ON session BEGIN
  INSERT INTO kept VALUES (new.caller, 1, 200)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + 200;
END;
CREATE TRIGGER session_gone AFTER DELETE ON session BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - 200 WHERE owner = old.caller;
END;
CREATE TRIGGER thought_added AFTER INSERT ON thought BEGIN
  INSERT INTO kept VALUES (new.owner, 1, octet_length(new.text) + 200)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER thought_gone AFTER DELETE ON thought BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - octet_length(old.text) - 200 WHERE owner = old.owner;
END;
