-- Who recorded a decision in model-profile, as a number; nobody says of those that were copied before.
ALTER TABLE decision ADD COLUMN token INTEGER NOT NULL DEFAULT 0;
-- Each token pushes out its own rows alone, the oldest first.
CREATE INDEX decision_token ON decision (token, id);
CREATE INDEX rating_run_owner ON rating_run (owner, id);
CREATE INDEX comparison_owner ON comparison (owner, id);
CREATE INDEX report_owner ON report (owner, id);
