-- Whose battles named it first; nobody's where a decision did. Each token may name so many.
ALTER TABLE subject ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE task_type ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE judge ADD COLUMN owner TEXT NOT NULL DEFAULT '';
