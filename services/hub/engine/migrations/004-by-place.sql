-- What is done together lies together: messages come from many to many, so a commit changed a page for each mailbox and for each sender.
-- Now it changes the last ones. Deliveries are in the order of places, ids in that of ids, which the hub draws in the order of time.
CREATE TABLE delivery_by_place (
  agent TEXT NOT NULL,
  seq INTEGER NOT NULL,
  source TEXT NOT NULL,
  urgency INTEGER NOT NULL,
  state INTEGER NOT NULL,
  due INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  base INTEGER NOT NULL,
  at INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  is_replay INTEGER NOT NULL,
  reason TEXT,
  PRIMARY KEY (seq, agent)
) STRICT, WITHOUT ROWID;
INSERT INTO delivery_by_place SELECT * FROM delivery ORDER BY seq, agent;
DROP TABLE delivery;
ALTER TABLE delivery_by_place RENAME TO delivery;
CREATE INDEX delivery_waiting ON delivery (agent, urgency DESC, seq) WHERE state = 0;
CREATE INDEX delivery_lane ON delivery (agent, urgency DESC, source, seq) WHERE state = 0;
CREATE INDEX delivery_expiring ON delivery (expires) WHERE state = 0;
CREATE INDEX delivery_due ON delivery (due) WHERE due > 0;
CREATE INDEX delivery_blocking ON delivery (agent, source, urgency, seq) WHERE due > 0;
CREATE INDEX delivery_dead ON delivery (agent, at, seq) WHERE state = 3;

DROP INDEX message_id;
CREATE UNIQUE INDEX message_id ON message (id, source, owner);

CREATE TRIGGER delivery_added AFTER INSERT ON delivery WHEN NEW.state < 2 BEGIN
  INSERT INTO mailbox VALUES (NEW.agent, 1) ON CONFLICT DO UPDATE SET waiting = waiting + 1;
END;
CREATE TRIGGER delivery_settled AFTER UPDATE OF state ON delivery WHEN OLD.state < 2 AND NEW.state >= 2 BEGIN
  UPDATE mailbox SET waiting = waiting - 1 WHERE agent = NEW.agent;
END;
CREATE TRIGGER delivery_revived AFTER UPDATE OF state ON delivery WHEN OLD.state >= 2 AND NEW.state < 2 BEGIN
  INSERT INTO mailbox VALUES (NEW.agent, 1) ON CONFLICT DO UPDATE SET waiting = waiting + 1;
END;
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery WHEN OLD.state < 2 BEGIN
  UPDATE mailbox SET waiting = waiting - 1 WHERE agent = OLD.agent;
END;

-- Dead letters by who has sent them; those of a mailbox are found by `delivery_dead`. So nobody looks through those of others.
CREATE TABLE dead_sent (
  owner TEXT NOT NULL,
  at INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  agent TEXT NOT NULL,
  PRIMARY KEY (owner, at, seq, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_sent_seq ON dead_sent (seq, agent);
INSERT INTO dead_sent SELECT m.owner, d.at, d.seq, d.agent FROM delivery AS d JOIN message AS m USING (seq) WHERE d.state = 3;
CREATE TRIGGER delivery_dead_at_once AFTER INSERT ON delivery WHEN NEW.state = 3 BEGIN
  INSERT INTO dead_sent SELECT owner, NEW.at, NEW.seq, NEW.agent FROM message WHERE seq = NEW.seq;
END;
CREATE TRIGGER delivery_died AFTER UPDATE OF state ON delivery WHEN NEW.state = 3 BEGIN
  INSERT INTO dead_sent SELECT owner, NEW.at, NEW.seq, NEW.agent FROM message WHERE seq = NEW.seq;
END;
CREATE TRIGGER delivery_dead_revived AFTER UPDATE OF state ON delivery WHEN OLD.state = 3 BEGIN
  DELETE FROM dead_sent WHERE seq = OLD.seq AND agent = OLD.agent;
END;
CREATE TRIGGER delivery_dead_gone AFTER DELETE ON delivery WHEN OLD.state = 3 BEGIN
  DELETE FROM dead_sent WHERE seq = OLD.seq AND agent = OLD.agent;
END;
