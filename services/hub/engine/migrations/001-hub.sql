-- Documents: agents, subscriptions, rules, types, shared context, strategies.
CREATE TABLE entry (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  owner TEXT NOT NULL,
  version INTEGER NOT NULL,
  value TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- The log. A place is never used again: the count outlives what is trimmed.
CREATE TABLE message (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  digest TEXT NOT NULL,
  owner TEXT NOT NULL,
  readers TEXT NOT NULL,
  receivers TEXT NOT NULL,
  correlation TEXT NOT NULL,
  time INTEGER NOT NULL,
  envelope TEXT NOT NULL,
  encoding TEXT NOT NULL,
  size INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX message_id ON message (source, id);
CREATE INDEX message_thread ON message (correlation, seq);
CREATE INDEX message_owner ON message (owner, seq);

-- One row for each mailbox that a message went to, and one of agent '' for a message that had nowhere to go.
-- state: 0 pending, 1 leased, 2 acknowledged, 3 dead. due: when a lease ends or the next attempt may begin; 0 where nothing is waited for.
-- base: attempts that were made before it was sent again.
CREATE TABLE delivery (
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
  PRIMARY KEY (agent, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_seq ON delivery (seq);
CREATE INDEX delivery_waiting ON delivery (agent, urgency DESC, seq) WHERE state = 0;
CREATE INDEX delivery_expiring ON delivery (expires) WHERE state = 0;
CREATE INDEX delivery_due ON delivery (due) WHERE due > 0;
CREATE INDEX delivery_blocking ON delivery (agent, source, urgency, seq) WHERE due > 0;
CREATE INDEX delivery_dead ON delivery (at, seq) WHERE state = 3;

-- How much waits in a mailbox, what is at work included.
CREATE TABLE mailbox (agent TEXT PRIMARY KEY, waiting INTEGER NOT NULL) STRICT, WITHOUT ROWID;
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

CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
  INSERT INTO kept VALUES (NEW.owner, 1, length(NEW.body) + length(NEW.envelope) + 200)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - (length(OLD.body) + length(OLD.envelope) + 200) WHERE owner = OLD.owner;
END;

CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
  INSERT INTO kept VALUES (NEW.owner, 1, length(NEW.value) + 200)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER entry_changed AFTER UPDATE ON entry BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - (length(OLD.value) + 200) WHERE owner = OLD.owner;
  INSERT INTO kept VALUES (NEW.owner, 1, length(NEW.value) + 200)
  ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER entry_gone AFTER DELETE ON entry BEGIN
  UPDATE kept SET items = items - 1, bytes = bytes - (length(OLD.value) + 200) WHERE owner = OLD.owner;
END;

CREATE TABLE reservation (
  name TEXT NOT NULL,
  agent TEXT NOT NULL,
  owner TEXT NOT NULL,
  is_shared INTEGER NOT NULL,
  reason TEXT NOT NULL,
  since INTEGER NOT NULL,
  until INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  PRIMARY KEY (name, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_agent ON reservation (agent);
CREATE INDEX reservation_until ON reservation (until);

CREATE TABLE seen (agent TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Numbers that only grow: the last fence, how many messages left the log before their time.
CREATE TABLE tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO tally VALUES ('fence', 0), ('trimmed', 0);
