-- Whose decision named it first: each token may name so many.
ALTER TABLE task_type ADD COLUMN owner INTEGER NOT NULL DEFAULT 0;
