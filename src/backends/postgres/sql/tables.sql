-- Version 1 of Soloist's tables. Times are microseconds of the server's clock since 1970; the largest bigint means "never".
--
-- Text holds no U+0000 here: the client writes it as U+0001 and "0", and U+0001 as U+0001 and "1".

CREATE TABLE soloist.store (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  version int     NOT NULL,            -- which tables these are
  mark    bigint  NOT NULL DEFAULT 0,  -- no fence of a lock whose row was removed is above this
  swept   bigint  NOT NULL DEFAULT 0,  -- when rows that are of no use were last removed
  oldest  int     NOT NULL DEFAULT 1   -- the oldest version of the functions that can work with these tables
);
INSERT INTO soloist.store (version) VALUES (1);

-- A lock that one owner holds alone, and that nobody else waits for or watches, is this row and nothing else. The row stays
-- after the release, so that the next grant is an update in place. What was free for a minute is removed.
CREATE TABLE soloist.lock (
  name    text    COLLATE "C" PRIMARY KEY,
  fence   bigint  NOT NULL,               -- the last one granted
  until   bigint  NOT NULL DEFAULT 0,     -- when the lease of `owner` runs out
  owner   text    COLLATE "C",            -- who holds it alone; never set while `busy`
  meta    text,
  busy    boolean NOT NULL DEFAULT false, -- whether its holders and waiters are rows of `claim`
  id      bigint,                         -- what those rows know it by, from when it was first busy
  head    bigint  NOT NULL DEFAULT 0,     -- nobody waits with a lower ticket
  runs    boolean NOT NULL DEFAULT false, -- whether there was a pending run since it became busy
  pending text    COLLATE "C",            -- the owner of the pending run
  first   bigint,                         -- when that run was first triggered
  due     bigint                          -- before when it does not start
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE SEQUENCE soloist.lock_id CACHE 32;

-- Who holds a busy lock (`fence` is set) or waits for it.
CREATE TABLE soloist.claim (
  id      bigint  NOT NULL,
  owner   text    COLLATE "C" NOT NULL,
  name    text    COLLATE "C" NOT NULL,
  ticket  bigint  NOT NULL,
  since   bigint  NOT NULL,               -- when it came into the queue
  fence   bigint,
  until   bigint,
  ttl     bigint  NOT NULL,
  shared  boolean NOT NULL,
  most    int,                            -- its limit
  client  text    COLLATE "C" NOT NULL,
  durable boolean NOT NULL DEFAULT false, -- waits whether or not its client is heard of
  begins  boolean NOT NULL DEFAULT false, -- becomes the pending run at the head of the queue
  pushed  boolean NOT NULL DEFAULT false, -- was granted by another client's step, and not confirmed yet
  note    text,
  meta    text,
  PRIMARY KEY (id, owner)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX claim_waits ON soloist.claim (id, ticket) WHERE fence IS NULL;
CREATE INDEX claim_holds ON soloist.claim (id, fence) WHERE fence IS NOT NULL;
CREATE INDEX claim_pushed ON soloist.claim (client) WHERE pushed;

-- When each client that waits was last heard of.
CREATE TABLE soloist.client (
  client text   COLLATE "C" PRIMARY KEY,
  seen   bigint NOT NULL
) WITH (fillfactor = 50);

-- What triggers left with a run that is pending or has begun.
CREATE TABLE soloist.note (
  id    bigint NOT NULL,
  run   text   COLLATE "C" NOT NULL,
  owner text   COLLATE "C" NOT NULL,
  seq   bigint GENERATED ALWAYS AS IDENTITY,
  text  text   NOT NULL
);
CREATE INDEX note_lock ON soloist.note (id, seq);

-- What claims left when they ended. Names and owners may be too long for an index together, so it holds their hashes.
CREATE TABLE soloist.result (
  name_hash  bigint NOT NULL,
  owner_hash bigint NOT NULL,
  name  text   COLLATE "C" NOT NULL,
  owner text   COLLATE "C" NOT NULL,
  until bigint NOT NULL,
  text  text,                             -- what the owner left
  taker text   COLLATE "C"                -- who took the place of the run
);
CREATE INDEX result_claim ON soloist.result (name_hash, owner_hash);
CREATE INDEX result_until ON soloist.result (until);

-- Which clients watch whose claim. `ended`: it is over, and the client has not asked since.
CREATE TABLE soloist.watcher (
  id     bigint  NOT NULL,
  owner  text    COLLATE "C" NOT NULL,
  client text    COLLATE "C" NOT NULL,
  name   text    COLLATE "C" NOT NULL,
  seen   bigint  NOT NULL,
  ended  boolean NOT NULL DEFAULT false
);
CREATE INDEX watcher_lock ON soloist.watcher (id);
CREATE INDEX watcher_ended ON soloist.watcher (client) WHERE ended;
