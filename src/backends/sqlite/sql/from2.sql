-- From version 1 or 2 to 3, after the schema of the present version: what is held stays held. Those who wait ask again by
-- themselves, for their place is kept by their clients. A process of the older version finds its tables gone, so it fails
-- instead of granting what is held here.
CREATE TABLE soloist_lock (
  name BLOB PRIMARY KEY, owner BLOB NOT NULL, fence INTEGER NOT NULL, expires_ms INTEGER, meta BLOB, client BLOB
) STRICT, WITHOUT ROWID;
INSERT INTO soloist_lock (name, owner, fence, expires_ms, meta)
  SELECT name, owner, fence, expires_ms, meta FROM soloist_holder WHERE exclusive = 1;
INSERT OR IGNORE INTO soloist_shared (name, owner, most, fence, expires_ms, meta)
  SELECT name, owner, most, fence, expires_ms, meta FROM soloist_holder LEFT JOIN soloist_limit USING (name)
  WHERE exclusive = 0;
INSERT OR IGNORE INTO soloist_grant (name, owner, client, fence)
  SELECT name, owner, client, fence FROM soloist_holder WHERE pushed = 1;
DROP TABLE soloist_holder;
DROP TABLE soloist_waiter;
DROP TABLE soloist_limit;
UPDATE soloist_store SET version = 3;
