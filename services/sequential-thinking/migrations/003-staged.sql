-- Sessions that are being imported piece by piece, and whose thoughts nobody finds yet. What is left of them after a crash becomes leftovers.
CREATE TABLE staged (session_id INTEGER PRIMARY KEY) STRICT;
