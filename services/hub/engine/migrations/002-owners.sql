-- An id is unique among what one token has sent under a name: who takes the name later learns nothing of ids that were used before.
DROP INDEX message_id;
CREATE UNIQUE INDEX message_id ON message (source, id, owner);

-- When an agent of this name left last: what was settled by then, the next one of the name has never had.
CREATE TABLE departure (agent TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- What waits, lane by lane: so that a lane of which something is at work is passed at once, however much waits in it.
CREATE INDEX delivery_lane ON delivery (agent, urgency DESC, source, seq) WHERE state = 0;
