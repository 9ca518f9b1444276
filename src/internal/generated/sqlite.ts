// Made by scripts/embed.js from the files of src/backends/sqlite; edit those.
export const sql: Readonly<Record<'schema' | 'upgrade', string>> = {
  schema: `-- The tables of a Soloist database, created by whoever opens the file first. Run in one transaction.
--
-- Names, owners, clients and notes are UTF-8 in BLOB columns: some drivers cut TEXT at the first NUL when they read it.
-- Times are epoch milliseconds of the machine's clock; \`expires_ms\` NULL: never. Nothing here outlives its use: a lock that
-- nobody holds, waits for or watches and that left no result has no row in any table.

-- One row: which tables these are, and the last fence of the whole file, so that no lock needs one of its own.
CREATE TABLE IF NOT EXISTS soloist_store (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  fence   INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO soloist_store (id, version, fence) VALUES (1, 3, 0);

-- Who holds what alone. \`client\`: it ends with the process of this client, NULL: with none. A lock that nobody else wants has this row and no other, and no index besides the key.
CREATE TABLE IF NOT EXISTS soloist_lock (
  name       BLOB    PRIMARY KEY,
  owner      BLOB    NOT NULL,
  fence      INTEGER NOT NULL,
  expires_ms INTEGER,
  meta       BLOB,
  client     BLOB
) STRICT, WITHOUT ROWID;

-- Who holds what together with others. \`most\` is the limit that the claim was judged by, NULL: none.
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

-- Grants from the queue that their owners have not confirmed yet, and the clients that are to find them here.
CREATE TABLE IF NOT EXISTS soloist_grant (
  name   BLOB    NOT NULL,
  owner  BLOB    NOT NULL,
  client BLOB    NOT NULL,
  fence  INTEGER NOT NULL,
  PRIMARY KEY (name, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_grant_client ON soloist_grant (client);

-- Who waits for what, served by \`ticket\`, then \`id\`. \`most\` is the claim's limit, \`ttl_ms\` NULL: a lease without end. \`bound\`
-- 1: what is granted ends with the client's process.
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

-- When each client that waits was last heard of.
CREATE TABLE IF NOT EXISTS soloist_client (
  client  BLOB    PRIMARY KEY,
  seen_ms INTEGER NOT NULL
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

-- In which process each client is that holds something. \`place\` is the boot and the namespaces that \`pid\` and \`started\`, the
-- time it started in the kernel's ticks, mean something in. So its end can be proven there, and nowhere else.
CREATE TABLE IF NOT EXISTS soloist_process (
  client  BLOB    PRIMARY KEY,
  place   BLOB    NOT NULL,
  pid     INTEGER NOT NULL,
  started INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_process_seen ON soloist_process (seen_ms);
`,
  upgrade: `-- From version 1 or 2, after the schema: what is held stays held. Those who wait ask again by themselves, for their place is
-- kept by their clients. A process of the older version finds its tables gone, so it fails instead of granting what is held
-- here.
INSERT OR IGNORE INTO soloist_lock (name, owner, fence, expires_ms, meta)
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
