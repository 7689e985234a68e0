-- A message to very many mailboxes is put into them piece by piece: into which, from its first piece to its last.
CREATE TABLE spreading (seq INTEGER PRIMARY KEY, mailboxes TEXT NOT NULL) STRICT;
