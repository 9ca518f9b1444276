// Made by scripts/embed.js from the files of src/backends/sqlite; edit those.
export const sql: Readonly<Record<'from2' | 'from3' | 'schema', string>> = {
  from2: `CREATE TABLE soloist_lock (
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
`,
  from3: `INSERT INTO soloist_alone (name, owner, fence, expires_ms, meta, client)
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
`,
  schema: `
CREATE TABLE IF NOT EXISTS soloist_store (
id      INTEGER PRIMARY KEY CHECK (id = 1),
version INTEGER NOT NULL,
fence   INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO soloist_store (id, version, fence) VALUES (1, 4, 0);
CREATE TABLE IF NOT EXISTS soloist_alone (
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
CREATE TABLE IF NOT EXISTS soloist_waiting (
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
durable   INTEGER NOT NULL,
UNIQUE (name, owner)
) STRICT;
CREATE INDEX IF NOT EXISTS soloist_waiting_ticket ON soloist_waiting (name, ticket);
CREATE INDEX IF NOT EXISTS soloist_waiting_client ON soloist_waiting (client);
CREATE TABLE IF NOT EXISTS soloist_run (
name          BLOB    NOT NULL,
owner         BLOB    NOT NULL,
state         INTEGER NOT NULL,
since_ms      INTEGER NOT NULL,
first_ms      INTEGER NOT NULL,
not_before_ms INTEGER,
PRIMARY KEY (name, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_run_due ON soloist_run (not_before_ms) WHERE not_before_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS soloist_note (
id    INTEGER PRIMARY KEY,
name  BLOB    NOT NULL,
owner BLOB    NOT NULL,
run   BLOB    NOT NULL,
text  BLOB    NOT NULL,
UNIQUE (name, owner)
) STRICT;
CREATE TABLE IF NOT EXISTS soloist_client (
client  BLOB    PRIMARY KEY,
seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS soloist_outcome (
id        INTEGER PRIMARY KEY,
name      BLOB    NOT NULL,
owner     BLOB    NOT NULL,
until_ms  INTEGER NOT NULL,
text      BLOB    NOT NULL,
displaced INTEGER NOT NULL,
UNIQUE (name, owner)
) STRICT;
CREATE INDEX IF NOT EXISTS soloist_outcome_until ON soloist_outcome (until_ms);
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
}
