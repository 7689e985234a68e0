-- What is kept of a name goes when its agent has left: names that were had once would take room and time for ever.
DELETE FROM seen WHERE agent NOT IN (SELECT key FROM entry WHERE kind = 'agent');
DELETE FROM mailbox WHERE waiting = 0;
-- Departures go when nothing that was settled before them is left.
CREATE INDEX departure_at ON departure (at);
