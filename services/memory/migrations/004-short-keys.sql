-- Whether an entity says something already is looked up by the length and the beginning of the text: long texts as keys are
-- slow to compare, and a second copy of all that is stored.
DROP INDEX observation_live_text;
CREATE INDEX observation_live_text ON observation (entity_id, length(text), substr(text, 1, 64)) WHERE valid_to IS NULL;
