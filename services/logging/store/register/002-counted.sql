-- Whether the holdings of a segment count the fields of its lines, as its own sums always did: what was counted is given back when
-- lines go. Those of before are counted anew when the service starts.
ALTER TABLE segments ADD COLUMN is_counted INTEGER NOT NULL DEFAULT 0;
