-- Outputs that only the token may read which stored them.
ALTER TABLE output ADD COLUMN is_private INTEGER NOT NULL DEFAULT 0 CHECK (is_private IN (0, 1));
