-- The tables of a Soloist database, created by whoever opens the file first. Run in one transaction.
--
-- Names, owners, clients and notes are UTF-8 in BLOB columns: some drivers cut TEXT at the first NUL when they read it.
-- Times are epoch milliseconds of the machine's clock; `expires_ms` NULL: never. Nothing here outlives its use: a lock that
-- nobody holds, waits for or watches and that left no result has no row in any table.
--
-- A table that an older version would read wrongly has another name than it had there, so that the older version's statements
-- fail. This comes before the upgrade, so no index has a name of before, either.

-- One row: which tables these are, and the last fence of the whole file, so that no lock needs one of its own.
CREATE TABLE IF NOT EXISTS soloist_store (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  fence   INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO soloist_store (id, version, fence) VALUES (1, 4, 0);

-- Who holds what alone. `client`: it ends with the process of this client, NULL: with none. A lock that nobody else wants has this row and no other, and no index besides the key.
CREATE TABLE IF NOT EXISTS soloist_alone (
  name       BLOB    PRIMARY KEY,
  owner      BLOB    NOT NULL,
  fence      INTEGER NOT NULL,
  expires_ms INTEGER,
  meta       BLOB,
  client     BLOB
) STRICT, WITHOUT ROWID;

-- Who holds what together with others. `most` is the limit that the claim was judged by, NULL: none.
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

-- Who waits for what, served by `ticket`, then `id`. `most` is the claim's limit, `ttl_ms` NULL: a lease without end. `bound`
-- 1: what is granted ends with the client's process. `durable` 1: it waits whether or not its client is heard of.
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

-- Runs that begin, from their trigger to their end. `state` 0: it waits for a run of its own, and is the next pending one at
-- the head of the queue; 1: it is the pending run, of which a lock has one at most; 2: it has begun, and has notes; 3: nobody
-- adds to it any more, since a trigger took back its note, but its owner has not begun it. A run that has begun without notes
-- has no row. `since_ms`: when it was triggered; `first_ms`: when the first of the runs whose place it took was. `not_before_ms`
-- is set as long as it waits for that time.
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

-- What triggers left with the run of the owner `run`, in the order of `id`.
CREATE TABLE IF NOT EXISTS soloist_note (
  id    INTEGER PRIMARY KEY,
  name  BLOB    NOT NULL,
  owner BLOB    NOT NULL,
  run   BLOB    NOT NULL,
  text  BLOB    NOT NULL,
  UNIQUE (name, owner)
) STRICT;

-- When each client that waits was last heard of. Durable claims need no row here.
CREATE TABLE IF NOT EXISTS soloist_client (
  client  BLOB    PRIMARY KEY,
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What became of claims that are over: what their owners left with their release, or, with `displaced` 1, by whom they were
-- displaced; 2: it was a run that never began by a word of its owner, and others had left something with it.
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

-- Which clients watch whose claim, and when each last asked. `ended` 1: it is over, which the client has not asked about
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

-- In which process each client is that holds something. `place` is the boot and the namespaces that `pid` and `started`, the
-- time it started in the kernel's ticks, mean something in. So its end can be proven there, and nowhere else.
CREATE TABLE IF NOT EXISTS soloist_process (
  client  BLOB    PRIMARY KEY,
  place   BLOB    NOT NULL,
  pid     INTEGER NOT NULL,
  started INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS soloist_process_seen ON soloist_process (seen_ms);
