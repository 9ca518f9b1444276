-- From version 3 to 4, after the schema of the present version: what is held stays held, and what was left is kept. Those who
-- waited are clients of the older version, which cannot ask again: its tables are gone, so its statements fail.
INSERT INTO soloist_alone (name, owner, fence, expires_ms, meta, client)
  SELECT name, owner, fence, expires_ms, meta, client FROM soloist_lock;
DROP TABLE soloist_lock;
DROP TABLE IF EXISTS soloist_queue;
DELETE FROM soloist_client;
CREATE TABLE IF NOT EXISTS soloist_result (
  id INTEGER PRIMARY KEY, name BLOB NOT NULL, owner BLOB NOT NULL, until_ms INTEGER NOT NULL, text BLOB NOT NULL
) STRICT;
INSERT INTO soloist_outcome (name, owner, until_ms, text, displaced)
  SELECT name, owner, until_ms, text, 0 FROM soloist_result;
DROP TABLE soloist_result;
UPDATE soloist_store SET version = 4;
