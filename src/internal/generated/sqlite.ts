// Made by scripts/embed.js from the files of src/backends/sqlite; edit those.
export const sql: Readonly<Record<'schema' | 'upgrade', string>> = {
  schema: `
CREATE TABLE IF NOT EXISTS soloist_store (
id      INTEGER PRIMARY KEY CHECK (id = 1),
version INTEGER NOT NULL,
fence   INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO soloist_store (id, version, fence) VALUES (1, 3, 0);
CREATE TABLE IF NOT EXISTS soloist_lock (
name       BLOB    PRIMARY KEY,
owner      BLOB    NOT NULL,
fence      INTEGER NOT NULL,
expires_ms INTEGER,
meta       BLOB,
client     BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS soloist_shared (
name       BLOB    NOT NULL,
owner      BLOB    NOT NULL,
most       INTEGER,
fence      INTEGER NOT NULL,
expires_ms INTEGER,
meta       BLOB,
client     BLOB,
PRIMARY KEY (name, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_shared_expires ON soloist_shared (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS soloist_grant (
name   BLOB    NOT NULL,
owner  BLOB    NOT NULL,
client BLOB    NOT NULL,
fence  INTEGER NOT NULL,
PRIMARY KEY (name, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_grant_client ON soloist_grant (client);
CREATE TABLE IF NOT EXISTS soloist_queue (
id        INTEGER PRIMARY KEY,
name      BLOB    NOT NULL,
ticket    INTEGER NOT NULL,
owner     BLOB    NOT NULL,
client    BLOB    NOT NULL,
exclusive INTEGER NOT NULL,
most      INTEGER,
ttl_ms    INTEGER,
meta      BLOB,
bound     INTEGER NOT NULL,
UNIQUE (name, owner)
) STRICT;
CREATE INDEX IF NOT EXISTS soloist_queue_ticket ON soloist_queue (name, ticket);
CREATE INDEX IF NOT EXISTS soloist_queue_client ON soloist_queue (client);
CREATE TABLE IF NOT EXISTS soloist_client (
client  BLOB    PRIMARY KEY,
seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS soloist_result (
id       INTEGER PRIMARY KEY,
name     BLOB    NOT NULL,
owner    BLOB    NOT NULL,
until_ms INTEGER NOT NULL,
text     BLOB    NOT NULL,
UNIQUE (name, owner)
) STRICT;
CREATE INDEX IF NOT EXISTS soloist_result_until ON soloist_result (until_ms);
CREATE TABLE IF NOT EXISTS soloist_watcher (
name    BLOB    NOT NULL,
owner   BLOB    NOT NULL,
client  BLOB    NOT NULL,
seen_ms INTEGER NOT NULL,
ended   INTEGER NOT NULL,
PRIMARY KEY (name, owner, client)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_watcher_ended ON soloist_watcher (client) WHERE ended = 1;
CREATE INDEX IF NOT EXISTS soloist_watcher_seen ON soloist_watcher (seen_ms);
CREATE TABLE IF NOT EXISTS soloist_process (
client  BLOB    PRIMARY KEY,
place   BLOB    NOT NULL,
pid     INTEGER NOT NULL,
started INTEGER NOT NULL,
seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_process_seen ON soloist_process (seen_ms);
`,
  upgrade: `INSERT OR IGNORE INTO soloist_lock (name, owner, fence, expires_ms, meta)
SELECT name, owner, fence, expires_ms, meta FROM soloist_holder WHERE exclusive = 1;
INSERT OR IGNORE INTO soloist_shared (name, owner, most, fence, expires_ms, meta)
SELECT name, owner, most, fence, expires_ms, meta FROM soloist_holder LEFT JOIN soloist_limit USING (name)
WHERE exclusive = 0;
INSERT OR IGNORE INTO soloist_grant (name, owner, client, fence)
SELECT name, owner, client, fence FROM soloist_holder WHERE pushed = 1;
DROP TABLE soloist_holder;
DROP TABLE soloist_waiter;
DROP TABLE soloist_limit;
DELETE FROM soloist_client;
UPDATE soloist_store SET version = 3;
`,
}
