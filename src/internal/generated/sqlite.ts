// Made by scripts/embed.js from the files of src/backends/sqlite; edit those.
export const sql: Readonly<Record<'schema', string>> = {
  schema: `-- The tables of a Soloist database, created by whoever opens the file first. Run in one transaction.
--
-- Names, owners, clients and notes are UTF-8 in BLOB columns: some drivers cut TEXT at the first NUL when they read it.
-- Times are epoch milliseconds of the machine's clock. Nothing here outlives its use: a lock that nobody holds, waits for
-- or watches and that left no result has no row in any table.

-- One row: which tables these are, and the last fence of the whole file, so that no lock needs one of its own.
CREATE TABLE IF NOT EXISTS soloist_store (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  fence   INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO soloist_store (id, version, fence) VALUES (1, 2, 0);
-- Version 1 had no results and no watchers, and nothing else was different.
UPDATE soloist_store SET version = 2 WHERE version = 1;

-- Who holds what. \`expires_ms\` NULL: never. \`pushed\` 1: granted from the queue and not confirmed yet.
CREATE TABLE IF NOT EXISTS soloist_holder (
  name        BLOB    NOT NULL,
  owner       BLOB    NOT NULL,
  client      BLOB    NOT NULL,
  exclusive   INTEGER NOT NULL,
  fence       INTEGER NOT NULL,
  acquired_ms INTEGER NOT NULL,
  expires_ms  INTEGER,
  pushed      INTEGER NOT NULL,
  meta        BLOB,
  PRIMARY KEY (name, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_holder_expires ON soloist_holder (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS soloist_holder_pushed ON soloist_holder (client) WHERE pushed = 1;

-- Who waits for what, served by \`ticket\`, then \`id\`. \`most\` is the claim's limit.
CREATE TABLE IF NOT EXISTS soloist_waiter (
  id        INTEGER PRIMARY KEY,
  name      BLOB    NOT NULL,
  ticket    INTEGER NOT NULL,
  owner     BLOB    NOT NULL,
  client    BLOB    NOT NULL,
  exclusive INTEGER NOT NULL,
  most      INTEGER,
  meta      BLOB,
  UNIQUE (name, owner)
) STRICT;
CREATE INDEX IF NOT EXISTS soloist_waiter_queue ON soloist_waiter (name, ticket);
CREATE INDEX IF NOT EXISTS soloist_waiter_client ON soloist_waiter (client);

-- When each client that waits was last heard of.
CREATE TABLE IF NOT EXISTS soloist_client (
  client  BLOB    PRIMARY KEY,
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The limit (NULL: none) that the shared claims of a lock agreed on. No row: none was made yet.
CREATE TABLE IF NOT EXISTS soloist_limit (
  name BLOB PRIMARY KEY,
  most INTEGER
) STRICT, WITHOUT ROWID;

-- What owners left with their release.
CREATE TABLE IF NOT EXISTS soloist_result (
  id       INTEGER PRIMARY KEY,
  name     BLOB    NOT NULL,
  owner    BLOB    NOT NULL,
  until_ms INTEGER NOT NULL,
  text     BLOB    NOT NULL,
  UNIQUE (name, owner)
) STRICT;
CREATE INDEX IF NOT EXISTS soloist_result_until ON soloist_result (until_ms);

-- Which clients watch whose claim, and when each last asked. \`ended\` 1: it is over, which the client has not asked about
-- yet.
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
`,
}
