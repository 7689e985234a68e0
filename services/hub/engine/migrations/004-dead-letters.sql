-- Dead letters by who has sent them, and by mailbox: so that nobody looks through those of others.
CREATE TABLE dead_sent (
  owner TEXT NOT NULL,
  at INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  agent TEXT NOT NULL,
  PRIMARY KEY (owner, at, seq, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_sent_seq ON dead_sent (seq, agent);
INSERT INTO dead_sent SELECT m.owner, d.at, d.seq, d.agent FROM delivery AS d JOIN message AS m USING (seq) WHERE d.state = 3;
DROP INDEX delivery_dead;
CREATE INDEX delivery_dead ON delivery (agent, at, seq) WHERE state = 3;

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
