-- A list of steps of the client `me`. Of names that occur once: r.. releases without a result, a.. exclusive acquires (`aq`:
-- whether they are queued), n.. renewals. Every other step is in `steps`, in order. Times to live are microseconds.
--
-- Returns JSON: [a, r, n, s, handed]. One text needs the least time of the statement around it.
-- a, r, n: an answer for each, divided by commas: the fence or 0, whether it was held, the fence or 0. `x`: the answer is in s.
-- s: those answers, in the order of a, r and steps. handed: name, owner and fence of each grant that the caller is told of.
CREATE OR REPLACE FUNCTION soloist.run_1(me text, rn text[], ro text[], an text[], ao text[], at bigint[], aq boolean[],
  am text[], nn text[], no text[], nt bigint[], steps jsonb) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
  a text; r text; n text; s json; handed text[] := '{}';
  t bigint; i int; j int; k int; kind text; x record; e jsonb; c soloist.claim; top bigint; quiet boolean;
  got bigint[]; at_ bigint[]; names text[]; all_ bigint[]; answers jsonb[] := '{}'; grants text[] := '{}';
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'soloist needs the isolation level "read committed", not "%"', current_setting('transaction_isolation')
      USING ERRCODE = 'SL001';
  END IF;
  PERFORM soloist.plan_1();
  -- All locks in one order, and only then the time: nobody else changes them until the end.
  IF steps IS NULL THEN names := rn || an || nn;
  ELSE names := rn || an || nn || ARRAY(SELECT v ->> 1 FROM jsonb_array_elements(steps) v); END IF;
  PERFORM pg_advisory_xact_lock(q.k) FROM (SELECT DISTINCT hashtextextended(u, 7001) AS k FROM unnest(names) u ORDER BY 1) q;
  t := soloist.now_1();
  quiet := true;

  IF cardinality(rn) > 0 THEN
    WITH d AS (
      UPDATE soloist.lock l SET owner = NULL, meta = NULL FROM unnest(rn, ro) WITH ORDINALITY AS q (qn, qo, i)
      WHERE l.name = q.qn AND l.owner = q.qo AND NOT l.busy RETURNING q.i, (l.until > t)::int AS held, l.until)
    SELECT array_agg(d.i), array_agg(d.held), max(d.until) INTO at_, got, top FROM d;
    -- The end of a lease that runs out anyway may be lost when the server crashes.
    quiet := coalesce(top, 0) < 9223372036854775807;
    IF cardinality(got) = cardinality(rn) AND array_position(got, 0) IS NULL THEN
      r := '1' || repeat(',1', cardinality(rn) - 1);
    ELSE
      all_ := array_fill(-1::bigint, ARRAY[cardinality(rn)]);
      FOR i IN 1 .. coalesce(cardinality(got), 0) LOOP all_[at_[i]] := got[i]; END LOOP;
      FOR i IN 1 .. cardinality(rn) LOOP
        IF all_[i] < 0 THEN
          SELECT * INTO x FROM soloist.release_1(rn[i], ro[i], NULL, NULL, me, t);
          all_[i] := x.held::int;
          grants := grants || x.grants;
        END IF;
      END LOOP;
      r := array_to_string(all_, ',');
    END IF;
  END IF;

  IF cardinality(an) > 0 THEN
    SELECT mark INTO top FROM soloist.store;
    WITH d AS (
      INSERT INTO soloist.lock AS l (name, fence, owner, until, meta)
        SELECT q.qn, greatest(t, top + 1), q.qo, CASE WHEN q.qt = 9223372036854775807 THEN q.qt ELSE t + q.qt END, q.qm
        FROM unnest(an, ao, at, am) AS q (qn, qo, qt, qm)
      ON CONFLICT (name) DO UPDATE SET fence = greatest(l.fence + 1, excluded.fence), owner = excluded.owner,
        until = excluded.until, meta = excluded.meta
        WHERE NOT l.busy AND (l.owner IS NULL OR l.until <= t)
          AND pg_try_advisory_lock(hashtextextended(l.name, 7002))
          AND pg_advisory_unlock(hashtextextended(l.name, 7002))
      RETURNING l.name, l.fence)
    SELECT array_agg(d.fence), array_agg(d.name) INTO got, names FROM d;
    IF cardinality(got) > 0 THEN quiet := false; END IF;
    IF cardinality(got) = cardinality(an) THEN
      a := array_to_string(got, ',');
    ELSE
      -- What was done comes in the order of the list, with gaps.
      all_ := array_fill(NULL::bigint, ARRAY[cardinality(an)]);
      j := 1;
      FOR i IN 1 .. cardinality(an) LOOP
        IF names[j] = an[i] THEN
          all_[i] := got[j];
          j := j + 1;
        ELSE
          c := NULL; c.name := an[i]; c.owner := ao[i]; c.ttl := at[i]; c.meta := am[i];
          c.shared := false; c.client := me; c.durable := false; c.begins := false;
          SELECT * INTO x FROM soloist.acquire_1(c, CASE WHEN aq[i] THEN -1 END, NULL, t);
          IF x.answer ->> 0 = 'g' THEN
            all_[i] := (x.answer ->> 1)::bigint;
            quiet := false;
          ELSE
            answers := answers || x.answer;
          END IF;
          grants := grants || x.grants;
        END IF;
      END LOOP;
      a := array_to_string(all_, ',', 'x');
    END IF;
  END IF;

  IF cardinality(nn) > 0 THEN
    quiet := false;
    WITH d AS (
      UPDATE soloist.lock l SET until = CASE WHEN q.qt = 9223372036854775807 THEN q.qt ELSE t + q.qt END
      FROM unnest(nn, no, nt) WITH ORDINALITY AS q (qn, qo, qt, i)
      WHERE l.name = q.qn AND l.owner = q.qo AND l.until > t RETURNING q.i, l.fence)
    SELECT array_agg(d.i), array_agg(d.fence) INTO at_, got FROM d;
    all_ := array_fill(0::bigint, ARRAY[cardinality(nn)]);
    FOR i IN 1 .. coalesce(cardinality(got), 0) LOOP all_[at_[i]] := got[i]; END LOOP;
    IF coalesce(cardinality(got), 0) < cardinality(nn) THEN
      FOR i IN 1 .. cardinality(nn) LOOP
        IF all_[i] = 0 THEN all_[i] := coalesce((soloist.renew_1(nn[i], no[i], nt[i], t) ->> 1)::bigint, 0); END IF;
      END LOOP;
    END IF;
    n := array_to_string(all_, ',');
  END IF;

  IF steps IS NOT NULL THEN
    FOR e IN SELECT v FROM jsonb_array_elements(steps) v LOOP
      kind := e ->> 0;
      IF kind = 'a' OR kind = 't' THEN
        c := NULL; c.name := e ->> 1; c.owner := e ->> 2; c.ttl := (e ->> 3)::bigint; c.shared := (e ->> 4)::boolean;
        c.most := (e ->> 5)::int; c.meta := e ->> 6; c.durable := (e ->> 7)::boolean; c.begins := false; c.client := me;
        IF kind = 'a' THEN
          SELECT * INTO x FROM soloist.acquire_1(c, (e ->> 8)::bigint, e ->> 9, t);
        ELSE
          SELECT * INTO x FROM soloist.trigger_1(c, e ->> 8, e ->> 9, e ->> 10, (e ->> 11)::boolean, (e ->> 12)::bigint,
            (e ->> 13)::bigint, e ->> 14, (e ->> 15)::bigint, t);
        END IF;
        answers := answers || x.answer;
        grants := grants || x.grants;
        -- A trigger that changed anything is kept, since its caller relies on it.
        IF kind = 't' OR x.answer ->> 0 = 'g' THEN quiet := false; END IF;
      ELSIF kind = 'n' THEN
        answers := answers || soloist.renew_1(e ->> 1, e ->> 2, (e ->> 3)::bigint, t);
        quiet := false;
      ELSIF kind = 'r' THEN
        SELECT * INTO x FROM soloist.release_1(e ->> 1, e ->> 2, e ->> 3, (e ->> 4)::bigint, me, t);
        answers := answers || jsonb_build_array('r', x.held);
        grants := grants || x.grants;
        IF e ->> 3 IS NOT NULL THEN quiet := false; END IF;
      ELSE
        SELECT * INTO x FROM soloist.begin_1(e ->> 1, e ->> 2, e ->> 3, me, t);
        answers := answers || x.answer;
        grants := grants || x.grants;
        quiet := false;
      END IF;
    END LOOP;
  END IF;
  IF cardinality(answers) > 0 THEN s := array_to_json(answers); END IF;

  IF cardinality(grants) > 0 THEN
    quiet := false;
    FOR i IN 1 .. cardinality(grants) BY 4 LOOP
      IF grants[i] = '' THEN handed := handed || grants[i + 1 : i + 3];
      ELSE PERFORM soloist.tell_1(grants[i], 'g', grants[i + 1], grants[i + 2], grants[i + 3]::bigint); END IF;
    END LOOP;
  END IF;
  -- What grants or renews is on disk before it is answered, unless the server's own setting says otherwise.
  IF quiet THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  RETURN json_build_array(a, r, n, s, handed)::text;
END $f$;

-- A list of one: `kind` a, r or n, as there. What is not done by one row is left to run_1.
CREATE OR REPLACE FUNCTION soloist.one_1(me text, kind text, nm text, ow text, tl bigint, queued boolean, mt text)
RETURNS text LANGUAGE plpgsql AS $f$
DECLARE t bigint; f bigint;
BEGIN
  IF current_setting('transaction_isolation') = 'read committed' THEN
    PERFORM soloist.plan_1();
    PERFORM pg_advisory_xact_lock(hashtextextended(nm, 7001));
    t := soloist.now_1();
    IF kind = 'a' THEN
      INSERT INTO soloist.lock AS l (name, fence, owner, until, meta)
        VALUES (nm, greatest(t, (SELECT mark + 1 FROM soloist.store)), ow, soloist.after_1(t, tl), mt)
        ON CONFLICT (name) DO UPDATE SET fence = greatest(l.fence + 1, excluded.fence), owner = excluded.owner,
          until = excluded.until, meta = excluded.meta
          WHERE NOT l.busy AND (l.owner IS NULL OR l.until <= t)
            AND pg_try_advisory_lock(hashtextextended(l.name, 7002))
            AND pg_advisory_unlock(hashtextextended(l.name, 7002))
        RETURNING l.fence INTO f;
      IF FOUND THEN RETURN '["' || f || '"]'; END IF;
    ELSIF kind = 'r' THEN
      UPDATE soloist.lock SET owner = NULL, meta = NULL WHERE name = nm AND owner = ow AND NOT busy AND until > t
        RETURNING until INTO f;
      IF FOUND THEN
        IF f < 9223372036854775807 THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
        RETURN '[null,"1"]';
      END IF;
    ELSE
      UPDATE soloist.lock SET until = soloist.after_1(t, tl) WHERE name = nm AND owner = ow AND until > t RETURNING fence INTO f;
      IF FOUND THEN RETURN '[null,null,"' || f || '"]'; END IF;
    END IF;
  END IF;
  RETURN soloist.run_1(me,
    CASE WHEN kind = 'r' THEN ARRAY[nm] ELSE '{}' END, CASE WHEN kind = 'r' THEN ARRAY[ow] ELSE '{}' END,
    CASE WHEN kind = 'a' THEN ARRAY[nm] ELSE '{}' END, CASE WHEN kind = 'a' THEN ARRAY[ow] ELSE '{}' END,
    ARRAY[tl], ARRAY[queued], ARRAY[mt],
    CASE WHEN kind = 'n' THEN ARRAY[nm] ELSE '{}' END, CASE WHEN kind = 'n' THEN ARRAY[ow] ELSE '{}' END, ARRAY[tl], NULL);
END $f$;

-- What became of a claim: l live, g gone, r and its text, d and by whom it was displaced. While it is live, the client is told
-- when it ends.
CREATE OR REPLACE FUNCTION soloist.watch_1(me text, nm text, ow text, OUT kind text, OUT said text) LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; x record; n bigint; grants text[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'soloist needs the isolation level "read committed", not "%"', current_setting('transaction_isolation')
      USING ERRCODE = 'SL001';
  END IF;
  PERFORM soloist.plan_1();
  PERFORM pg_advisory_xact_lock(hashtextextended(nm, 7001));
  n := soloist.now_1();
  kind := 'g';
  SELECT text, taker INTO x FROM soloist.result WHERE name_hash = hashtextextended(nm, 7001)
    AND owner_hash = hashtextextended(ow, 7001) AND name = nm AND owner = ow AND until > n AND coalesce(text, taker) IS NOT NULL;
  IF FOUND THEN
    kind := CASE WHEN x.taker IS NULL THEN 'r' ELSE 'd' END;
    said := coalesce(x.taker, x.text);
  END IF;
  SELECT * INTO l FROM soloist.lock WHERE name = nm;
  IF l.name IS NULL THEN RETURN; END IF;
  IF kind = 'g' AND l.owner = ow AND l.until > n THEN l := soloist.open_1(nm, n); END IF;
  IF NOT l.busy THEN RETURN; END IF;
  DELETE FROM soloist.watcher WHERE id = l.id AND owner = ow AND client = me;
  IF kind = 'g' THEN
    -- Perhaps nobody asks about this lock but who watches.
    IF NOT EXISTS (SELECT FROM soloist.claim WHERE id = l.id AND owner = ow AND client = me) THEN
      PERFORM soloist.drop_silent_1(l, ow, n);
    END IF;
    PERFORM soloist.expire_1(l, n);
    grants := soloist.advance_1(nm, NULL, NULL, n);
    FOR i IN 1 .. cardinality(grants) BY 4 LOOP
      PERFORM soloist.tell_1(grants[i], 'g', grants[i + 1], grants[i + 2], grants[i + 3]::bigint);
    END LOOP;
    IF EXISTS (SELECT FROM soloist.claim WHERE id = l.id AND owner = ow) THEN
      kind := 'l';
      INSERT INTO soloist.watcher VALUES (l.id, ow, me, nm, n);
      RETURN;
    END IF;
  END IF;
  PERFORM soloist.tidy_1(l);
END $f$;

-- What was told to a client that could not listen: g and a fence, or e, with the name and the owner.
CREATE OR REPLACE FUNCTION soloist.news_1(me text) RETURNS TABLE (kind text, name text, owner text, fence text)
LANGUAGE sql STABLE AS $f$
  SELECT 'g', c.name, c.owner, c.fence::text FROM soloist.claim c
    WHERE c.client = me AND c.pushed AND c.until > soloist.now_1()
  UNION ALL SELECT 'e', w.name, w.owner, '0' FROM soloist.watcher w WHERE w.client = me AND w.ended
$f$;

-- In the application's own transaction: whether the owner still holds the lock with this fence. Then it is granted to nobody
-- else before that transaction ends. `mark`: the setting soloist_guard.mark.
CREATE OR REPLACE FUNCTION soloist.guard_1(nm text, ow text, f bigint, mark text) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE ok boolean := false;
BEGIN
  -- The caller has set this until the end of its transaction, in the statement before.
  IF current_setting('soloist_guard.mark', true) IS DISTINCT FROM mark THEN
    RAISE EXCEPTION 'no transaction is open' USING ERRCODE = 'SL004';
  END IF;
  -- Every grant looks whether anybody has this.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended(nm, 7002));
  BEGIN
    -- Calls that are under way come to their end. The lock is given back at once, since it would hold up renewals.
    PERFORM pg_advisory_xact_lock(hashtextextended(nm, 7001));
    IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
      ok := EXISTS (SELECT FROM soloist.lock WHERE name = nm AND owner = ow AND fence = f AND until > soloist.now_1())
        OR EXISTS (SELECT FROM soloist.claim WHERE owner = ow AND fence = f AND until > soloist.now_1()
          AND id = (SELECT id FROM soloist.lock WHERE name = nm AND busy));
    ELSE
      -- The transaction sees the past. To lock a row that has changed since fails (40001).
      PERFORM FROM soloist.lock WHERE name = nm AND owner = ow AND fence = f AND until > soloist.now_1() FOR SHARE;
      ok := FOUND;
      IF NOT ok THEN
        PERFORM FROM soloist.claim WHERE owner = ow AND fence = f AND until > soloist.now_1()
          AND id = (SELECT id FROM soloist.lock WHERE name = nm AND busy) FOR SHARE;
        ok := FOUND;
      END IF;
    END IF;
    RAISE EXCEPTION 'give back' USING ERRCODE = 'SL002';
  EXCEPTION WHEN SQLSTATE 'SL002' THEN
    RETURN ok;
  END;
END $f$;

-- Removes rows that are of no use any more, of at most `most_` of each kind. At most every ten seconds, whoever asks, unless this
-- goes on with an earlier one. Returns how many locks were removed.
--
-- No fence of a row that is removed is above the mark, which was committed by a sweep before this one: so whoever makes the row
-- anew knows of it.
CREATE OR REPLACE FUNCTION soloist.sweep_1(most_ int, goes_on boolean) RETURNS int LANGUAGE plpgsql AS $f$
DECLARE n bigint := soloist.now_1(); l soloist.lock; grants text[]; nm text; s soloist.store; k int;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN RETURN 0; END IF;
  SELECT * INTO s FROM soloist.store;
  UPDATE soloist.store SET swept = n, mark = greatest(mark, n - 60000000) WHERE goes_on OR swept < n - 10000000 OR swept > n;
  IF NOT FOUND THEN RETURN 0; END IF;
  PERFORM set_config('synchronous_commit', 'off', true);
  DELETE FROM soloist.lock WHERE ctid = ANY (ARRAY(SELECT ctid FROM soloist.lock
    WHERE NOT busy AND fence <= s.mark AND (owner IS NULL OR until < n - 60000000)
      AND pg_try_advisory_lock(hashtextextended(name, 7002)) AND pg_advisory_unlock(hashtextextended(name, 7002))
    LIMIT most_ FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS k = ROW_COUNT;
  -- What somebody else is writing is left alone: to wait for it could be to wait for each other.
  DELETE FROM soloist.result WHERE ctid = ANY (ARRAY(SELECT ctid FROM soloist.result WHERE until <= n
    LIMIT most_ FOR UPDATE SKIP LOCKED));
  IF goes_on THEN RETURN k; END IF;
  DELETE FROM soloist.watcher WHERE ctid = ANY (ARRAY(SELECT ctid FROM soloist.watcher WHERE seen < n - 60000000
    FOR UPDATE SKIP LOCKED));
  DELETE FROM soloist.client WHERE ctid = ANY (ARRAY(SELECT ctid FROM soloist.client WHERE seen < n - 60000000
    FOR UPDATE SKIP LOCKED));
  -- Busy locks that nobody has asked for since a lease ran out, or since those who wait fell silent.
  FOR nm IN SELECT name FROM soloist.lock b WHERE busy AND (NOT EXISTS (SELECT FROM soloist.claim WHERE id = b.id)
      OR EXISTS (SELECT FROM soloist.claim WHERE id = b.id AND fence IS NOT NULL AND until < n - 30000000)
      OR (EXISTS (SELECT FROM soloist.claim WHERE id = b.id AND fence IS NULL AND NOT durable AND since < n - 30000000)
        AND NOT EXISTS (SELECT FROM soloist.claim WHERE id = b.id AND fence IS NOT NULL))) LIMIT 500
  LOOP
    CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtextextended(nm, 7001));
    SELECT * INTO l FROM soloist.lock WHERE name = nm AND busy;
    CONTINUE WHEN l.name IS NULL;
    PERFORM soloist.expire_1(l, n);
    grants := soloist.advance_1(nm, NULL, NULL, n);
    FOR i IN 1 .. cardinality(grants) BY 4 LOOP
      PERFORM soloist.tell_1(grants[i], 'g', grants[i + 1], grants[i + 2], grants[i + 3]::bigint);
    END LOOP;
    PERFORM soloist.tidy_1(l);
  END LOOP;
  RETURN k;
END $f$;

-- Locks as an operator sees them, at one moment, each as JSON; a name that is not in use is left out. Only reads.
CREATE OR REPLACE FUNCTION soloist.look_1(names text[]) RETURNS TABLE (name text, state text) LANGUAGE sql STABLE AS $f$
  WITH now AS MATERIALIZED (SELECT soloist.now_1() AS n),
  l AS (SELECT l.* FROM soloist.lock l, now WHERE l.name = ANY (names) AND (l.busy OR (l.owner IS NOT NULL AND l.until > n))),
  held AS (
    SELECT l.name, l.owner, false AS shared, NULL::int AS most, l.fence, l.until, l.meta FROM l WHERE NOT l.busy
    UNION ALL SELECT l.name, c.owner, c.shared, c.most, c.fence, c.until, c.meta
      FROM l JOIN soloist.claim c ON c.id = l.id, now WHERE l.busy AND c.fence IS NOT NULL AND c.until > n),
  h AS (
    SELECT held.name, count(*) AS held, jsonb_agg(held.j ORDER BY held.fence) FILTER (WHERE held.place <= 100) AS first
    FROM (SELECT held.name, held.fence, row_number() OVER (PARTITION BY held.name ORDER BY held.fence) AS place,
      jsonb_build_array(held.owner, held.shared, held.most, held.fence, nullif(held.until, 9223372036854775807), held.meta) AS j
      FROM held) held GROUP BY held.name),
  w AS (
    SELECT q.name, count(*) AS waiting, jsonb_agg(q.j ORDER BY q.place) FILTER (WHERE q.place <= 100) AS first
    FROM (SELECT l.name, row_number() OVER (PARTITION BY l.name ORDER BY c.ticket, c.since) AS place,
      jsonb_build_array(c.owner, c.shared, c.most, c.ticket, c.meta, c.durable) AS j
      FROM l JOIN soloist.claim c ON c.id = l.id LEFT JOIN soloist.client p ON p.client = c.client, now
      WHERE l.busy AND c.fence IS NULL AND (c.durable OR greatest(c.since, p.seen) >= n - 12000000)) q GROUP BY q.name),
  p AS (
    SELECT l.name, jsonb_build_array(l.pending, (SELECT count(*) FROM soloist.note t WHERE t.id = l.id AND t.run = l.pending),
      CASE WHEN c.fence IS NULL THEN l.due END) AS run
    FROM l JOIN soloist.claim c ON c.id = l.id AND c.owner = l.pending LEFT JOIN soloist.client p ON p.client = c.client, now
    WHERE l.busy AND CASE WHEN c.fence IS NULL THEN c.durable OR greatest(c.since, p.seen) >= n - 12000000 ELSE c.until > n END)
  SELECT l.name, jsonb_build_array(coalesce(h.held, 0), coalesce(h.first, '[]'), p.run, coalesce(w.waiting, 0),
    coalesce(w.first, '[]'), n)::text
  FROM now, l LEFT JOIN h ON h.name = l.name LEFT JOIN w ON w.name = l.name LEFT JOIN p ON p.name = l.name
  WHERE h.held > 0 OR w.waiting > 0
$f$;

-- One page of `look_1`: the locks from `start` on and before `stop` (NULL: without end), by the order of their bytes. `last`: the
-- row's name where the next page begins, after it; NULL: this was the last page.
CREATE OR REPLACE FUNCTION soloist.page_1(start text, after text, stop text, OUT last text, OUT names text[])
LANGUAGE sql STABLE AS $f$
  SELECT CASE WHEN count(*) = 100 THEN max(name COLLATE "C") END, coalesce(array_agg(name), '{}')
  FROM (SELECT name FROM soloist.lock WHERE name >= start AND (after IS NULL OR name > after) AND (stop IS NULL OR name < stop)
    AND (busy OR owner IS NOT NULL) ORDER BY name LIMIT 100) q
$f$;
