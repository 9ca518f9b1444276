-- What the steps are made of. Each function works on one lock, whose advisory lock its caller holds. `n` is the time of the
-- call. Grants are listed as four texts each: the client that is to be pushed to or '' for the caller, name, owner and fence.
-- The numbers: a client is silent after 12 s, a grant lease lasts 5 s.

CREATE OR REPLACE FUNCTION soloist.now_1() RETURNS bigint LANGUAGE sql VOLATILE AS $f$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$f$;

-- For the rest of this transaction: plans are made once, for few rows by their keys, whatever the tables hold at that time. What
-- is switched off counts as so costly that each plan would be compiled, which takes a hundred times longer than it runs.
CREATE OR REPLACE FUNCTION soloist.plan_1() RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  PERFORM set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true);
END $f$;

CREATE OR REPLACE FUNCTION soloist.after_1(n bigint, ttl bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $f$
  SELECT CASE WHEN ttl = 9223372036854775807 THEN ttl ELSE n + ttl END
$f$;

-- The lock's row, made busy: who holds it alone becomes a row of claim.
CREATE OR REPLACE FUNCTION soloist.open_1(nm text, n bigint) RETURNS soloist.lock LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock;
BEGIN
  SELECT * INTO l FROM soloist.lock WHERE name = nm;
  IF l.name IS NULL THEN
    INSERT INTO soloist.lock (name, fence, busy, id)
      SELECT nm, mark, true, nextval('soloist.lock_id') FROM soloist.store RETURNING * INTO l;
  ELSIF NOT l.busy THEN
    l.id := coalesce(l.id, nextval('soloist.lock_id'));
    IF l.owner IS NOT NULL AND l.until > n THEN
      INSERT INTO soloist.claim (id, owner, name, ticket, since, fence, until, ttl, shared, client, meta)
        VALUES (l.id, l.owner, nm, l.fence, l.fence, l.fence, l.until, 0, false, '', l.meta);
    END IF;
    UPDATE soloist.lock SET busy = true, id = l.id, owner = NULL, meta = NULL WHERE name = nm RETURNING * INTO l;
  END IF;
  RETURN l;
END $f$;

-- Nobody holds the lock, waits for it or watches a claim of it: its row is all there is again.
CREATE OR REPLACE FUNCTION soloist.tidy_1(l soloist.lock) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  IF EXISTS (SELECT FROM soloist.claim WHERE id = l.id) THEN RETURN; END IF;
  IF EXISTS (SELECT FROM soloist.watcher WHERE id = l.id AND NOT ended) THEN RETURN; END IF;
  UPDATE soloist.lock SET busy = false, head = 0, runs = false, pending = NULL, first = NULL, due = NULL
    WHERE name = l.name AND busy;
END $f$;

-- The client is there.
CREATE OR REPLACE FUNCTION soloist.heard_1(me text, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  IF EXISTS (SELECT FROM soloist.client WHERE client = me AND seen BETWEEN n - 500000 AND n) THEN RETURN; END IF;
  INSERT INTO soloist.client VALUES (me, n) ON CONFLICT (client) DO UPDATE SET seen = excluded.seen;
END $f$;

-- Where no run is pending, the first that waits may become it.
CREATE OR REPLACE FUNCTION soloist.next_run_1(l soloist.lock, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE w soloist.claim;
BEGIN
  IF (SELECT pending FROM soloist.lock WHERE name = l.name) IS NOT NULL THEN RETURN; END IF;
  SELECT * INTO w FROM soloist.claim WHERE id = l.id AND fence IS NULL ORDER BY ticket, since LIMIT 1;
  IF w.begins THEN PERFORM soloist.become_1(l, w.owner, w.note, NULL, n); END IF;
END $f$;

-- A claim becomes the pending run.
CREATE OR REPLACE FUNCTION soloist.become_1(l soloist.lock, ow text, nt text, due_ bigint, n bigint) RETURNS void
LANGUAGE plpgsql AS $f$
BEGIN
  UPDATE soloist.lock SET runs = true, pending = ow, first = n, due = due_ WHERE name = l.name;
  PERFORM soloist.only_note_1(l, ow, nt);
END $f$;

-- What a run is told is its own note alone.
CREATE OR REPLACE FUNCTION soloist.only_note_1(l soloist.lock, ow text, nt text) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  DELETE FROM soloist.note WHERE id = l.id AND run = ow;
  IF nt IS NOT NULL THEN INSERT INTO soloist.note (id, run, owner, text) VALUES (l.id, ow, ow, nt); END IF;
END $f$;

-- The run neither holds nor waits any more. Where it had not begun by a word of its owner, which the note of nobody says, and others
-- had left something with it, that is kept for a minute.
CREATE OR REPLACE FUNCTION soloist.over_1(l soloist.lock, ow text, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE unbegun boolean; next text;
BEGIN
  IF NOT l.runs THEN RETURN; END IF;
  SELECT pending INTO next FROM soloist.lock WHERE name = l.name;
  SELECT bool_or(owner = '' OR (next = ow AND owner <> ow)) INTO unbegun FROM soloist.note WHERE id = l.id AND run = ow;
  DELETE FROM soloist.note WHERE id = l.id AND run = ow;
  IF unbegun AND NOT EXISTS (SELECT FROM soloist.result WHERE name_hash = hashtextextended(l.name, 7001)
    AND owner_hash = hashtextextended(ow, 7001) AND name = l.name AND owner = ow AND until > n)
  THEN
    INSERT INTO soloist.result VALUES
      (hashtextextended(l.name, 7001), hashtextextended(ow, 7001), l.name, ow, n + 60000000, NULL, NULL);
  END IF;
  UPDATE soloist.lock SET pending = NULL, first = NULL, due = NULL WHERE name = l.name AND pending = ow;
  PERFORM soloist.next_run_1(l, n);
END $f$;

-- A claim is over. Keeps what it left (`tx`, or `by_` whom it was displaced) and tells those who watch it.
CREATE OR REPLACE FUNCTION soloist.end_1(l soloist.lock, ow text, tx text, by_ text, keep bigint, n bigint) RETURNS void
LANGUAGE plpgsql AS $f$
DECLARE w record;
BEGIN
  DELETE FROM soloist.result WHERE name_hash = hashtextextended(l.name, 7001)
    AND owner_hash = hashtextextended(ow, 7001) AND name = l.name AND owner = ow;
  IF keep IS NOT NULL THEN
    INSERT INTO soloist.result VALUES
      (hashtextextended(l.name, 7001), hashtextextended(ow, 7001), l.name, ow, n + keep, tx, by_);
  END IF;
  FOR w IN UPDATE soloist.watcher SET ended = true WHERE id = l.id AND owner = ow AND NOT ended AND seen >= n - 12000000
    RETURNING client
  LOOP
    PERFORM soloist.tell_1(w.client, 'e', l.name, ow, 0);
  END LOOP;
END $f$;

-- One message on a client's channel. What is too long for one says only that there is something.
CREATE OR REPLACE FUNCTION soloist.tell_1(cl text, kind text, nm text, ow text, f bigint) RETURNS void LANGUAGE sql AS $f$
  SELECT pg_notify('soloist_' || md5(cl), CASE WHEN octet_length(nm) + octet_length(ow) > 7900 THEN 'x'
    ELSE kind || f || ' ' || length(nm) || ' ' || nm || ow END)
$f$;

-- The claim neither holds nor waits any more, whatever it did.
CREATE OR REPLACE FUNCTION soloist.remove_1(l soloist.lock, ow text, tx text, by_ text, keep bigint, n bigint)
RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  DELETE FROM soloist.claim WHERE id = l.id AND owner = ow;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM soloist.end_1(l, ow, tx, by_, keep, n);
  PERFORM soloist.over_1(l, ow, n);
END $f$;

-- Whether a claim goes on waiting.
CREATE OR REPLACE FUNCTION soloist.stays_1(w soloist.claim, n bigint) RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
  IF w.durable OR w.since >= n - 12000000 THEN RETURN true; END IF;
  RETURN EXISTS (SELECT FROM soloist.client WHERE client = w.client AND seen >= n - 12000000);
END $f$;

-- Removes a claim whose client fell silent, wherever it waits.
CREATE OR REPLACE FUNCTION soloist.drop_silent_1(l soloist.lock, ow text, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE w soloist.claim;
BEGIN
  SELECT * INTO w FROM soloist.claim WHERE id = l.id AND owner = ow AND fence IS NULL;
  IF w.id IS NULL OR soloist.stays_1(w, n) THEN RETURN; END IF;
  DELETE FROM soloist.claim WHERE id = l.id AND owner = ow;
  PERFORM soloist.over_1(l, ow, n);
END $f$;

-- Removes holders whose time is up, and a pending run whose client fell silent, wherever it waits.
CREATE OR REPLACE FUNCTION soloist.expire_1(l soloist.lock, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE ow text;
BEGIN
  IF l.pending IS NOT NULL THEN PERFORM soloist.drop_silent_1(l, l.pending, n); END IF;
  FOR ow IN DELETE FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL AND until <= n RETURNING owner LOOP
    PERFORM soloist.over_1(l, ow, n);
  END LOOP;
END $f$;

-- The grant rule, apart from the queue, and apart from guards in transactions that are open.
CREATE OR REPLACE FUNCTION soloist.fits_1(l soloist.lock, sh boolean, most_ int) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE held int; alone boolean;
BEGIN
  SELECT count(*), bool_or(NOT shared) INTO held, alone FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL;
  RETURN held = 0 OR (sh AND NOT alone AND (most_ IS NULL OR held < most_));
END $f$;

-- Whether no open transaction is guarded by a lease of this lock. The lock is given back at once: nobody can be guarded before
-- the caller's transaction ends, since that takes the lock's other advisory lock.
CREATE OR REPLACE FUNCTION soloist.unguarded_1(nm text) RETURNS boolean LANGUAGE sql VOLATILE AS $f$
  SELECT pg_try_advisory_lock(hashtextextended(nm, 7002)) AND pg_advisory_unlock(hashtextextended(nm, 7002))
$f$;

-- Grants a claim that may be in the queue. Returns its fence.
CREATE OR REPLACE FUNCTION soloist.hold_1(l soloist.lock, c soloist.claim, n bigint) RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE f bigint;
BEGIN
  UPDATE soloist.lock SET fence = greatest(fence + 1, n) WHERE name = l.name RETURNING fence INTO f;
  c.id := l.id; c.fence := f; c.until := soloist.after_1(n, c.ttl); c.ticket := f; c.since := f;
  c.pushed := false; c.begins := false; c.note := NULL;
  DELETE FROM soloist.claim WHERE id = l.id AND owner = c.owner;
  INSERT INTO soloist.claim SELECT c.*;
  RETURN f;
END $f$;

-- Puts a claim into the queue, with this ticket or (NULL) behind everybody else. Returns its ticket.
CREATE OR REPLACE FUNCTION soloist.enqueue_1(l soloist.lock, c soloist.claim, tk bigint, n bigint) RETURNS bigint
LANGUAGE plpgsql AS $f$
BEGIN
  IF tk IS NULL THEN
    SELECT greatest(n, max(ticket) + 1) INTO tk FROM soloist.claim WHERE id = l.id AND fence IS NULL;
  END IF;
  c.id := l.id; c.ticket := tk; c.since := n; c.fence := NULL; c.until := NULL; c.pushed := false;
  INSERT INTO soloist.claim SELECT c.*;
  IF l.head > tk THEN UPDATE soloist.lock SET head = tk WHERE name = l.name AND head > tk; END IF;
  RETURN tk;
END $f$;

-- Grants what the head of the queue allows. The claim `asking` is told in the answer to its own step. Without a caller (`me`
-- NULL) durable claims are not granted, for nobody could be told.
CREATE OR REPLACE FUNCTION soloist.advance_1(nm text, me text, asking text, n bigint) RETURNS text[] LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; w soloist.claim; own boolean; f bigint; grants text[] := '{}';
BEGIN
  LOOP
    SELECT * INTO l FROM soloist.lock WHERE name = nm;
    SELECT * INTO w FROM soloist.claim WHERE id = l.id AND fence IS NULL AND ticket >= l.head
      ORDER BY ticket, since LIMIT 1;
    EXIT WHEN w.id IS NULL;
    IF NOT (w.since >= n - 12000000 OR soloist.stays_1(w, n)) THEN
      DELETE FROM soloist.claim WHERE id = l.id AND owner = w.owner;
      PERFORM soloist.over_1(l, w.owner, n);
      CONTINUE;
    END IF;
    IF w.begins AND l.pending IS NULL THEN
      PERFORM soloist.become_1(l, w.owner, w.note, NULL, n);
      SELECT * INTO l FROM soloist.lock WHERE name = nm;
    END IF;
    EXIT WHEN w.durable AND me IS NULL;
    EXIT WHEN l.pending = w.owner AND l.due > n;
    EXIT WHEN NOT soloist.fits_1(l, w.shared, w.most);
    EXIT WHEN NOT soloist.unguarded_1(nm);
    IF w.begins AND l.pending <> w.owner THEN PERFORM soloist.only_note_1(l, w.owner, w.note); END IF;
    own := w.durable OR (me IS NOT NULL AND w.client = me);
    f := greatest(l.fence + 1, n);
    UPDATE soloist.claim SET fence = f, pushed = NOT own,
      until = soloist.after_1(n, CASE WHEN own THEN w.ttl ELSE least(w.ttl, 5000000) END)
      WHERE id = l.id AND owner = w.owner;
    UPDATE soloist.lock SET fence = f, head = w.ticket WHERE name = nm;
    IF NOT own OR w.owner IS DISTINCT FROM asking THEN
      grants := grants || ARRAY[CASE WHEN own THEN '' ELSE w.client END, nm, w.owner, f::text];
    END IF;
    EXIT WHEN NOT w.shared AND NOT l.runs;
  END LOOP;
  RETURN grants;
END $f$;

-- Who holds the lock, and after how long asking again could help, in milliseconds.
CREATE OR REPLACE FUNCTION soloist.hint_1(nm text, n bigint, OUT holder text, OUT retry bigint) LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; w soloist.claim; soonest bigint;
BEGIN
  SELECT * INTO l FROM soloist.lock WHERE name = nm;
  SELECT owner INTO holder FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL ORDER BY fence LIMIT 1;
  SELECT min(until) INTO soonest FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL;
  -- A guard is in the way: it ends with the transaction that it is in.
  IF holder IS NULL THEN soonest := n + 50000; END IF;
  IF l.due > n THEN
    SELECT * INTO w FROM soloist.claim WHERE id = l.id AND fence IS NULL ORDER BY ticket, since LIMIT 1;
    IF w.owner = l.pending THEN
      soonest := CASE WHEN soloist.fits_1(l, w.shared, w.most) THEN l.due ELSE greatest(soonest, l.due) END;
    END IF;
  END IF;
  IF soonest < 9223372036854775807 THEN retry := greatest((soonest - n + 999) / 1000, 1); END IF;
END $f$;

-- Whether a run ended that had not begun by a word of its owner.
CREATE OR REPLACE FUNCTION soloist.unbegun_1(nm text, ow text, n bigint) RETURNS boolean LANGUAGE sql AS $f$
  SELECT EXISTS (SELECT FROM soloist.result WHERE name_hash = hashtextextended(nm, 7001) AND
    owner_hash = hashtextextended(ow, 7001) AND name = nm AND owner = ow AND until > n AND text IS NULL AND taker IS NULL)
$f$;

-- By whom a claim was displaced; NULL: by nobody, or it was kept long enough.
CREATE OR REPLACE FUNCTION soloist.displaced_1(nm text, ow text, n bigint) RETURNS text LANGUAGE sql AS $f$
  SELECT taker FROM soloist.result WHERE name_hash = hashtextextended(nm, 7001)
    AND owner_hash = hashtextextended(ow, 7001) AND name = nm AND owner = ow AND until > n
$f$;
