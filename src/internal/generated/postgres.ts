// Made by scripts/embed.js from the files of src/backends/postgres; edit those.
export const sql: Readonly<Record<'functions' | 'tables', string>> = {
  functions: `
CREATE OR REPLACE FUNCTION soloist.now_1() RETURNS bigint LANGUAGE sql VOLATILE AS $f$
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$f$;
CREATE OR REPLACE FUNCTION soloist.plan_1() RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
PERFORM set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true);
END $f$;
CREATE OR REPLACE FUNCTION soloist.after_1(n bigint, ttl bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $f$
SELECT CASE WHEN ttl = 9223372036854775807 THEN ttl ELSE n + ttl END
$f$;
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
CREATE OR REPLACE FUNCTION soloist.tidy_1(l soloist.lock) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
IF EXISTS (SELECT FROM soloist.claim WHERE id = l.id) THEN RETURN; END IF;
IF EXISTS (SELECT FROM soloist.watcher WHERE id = l.id AND NOT ended) THEN RETURN; END IF;
UPDATE soloist.lock SET busy = false, head = 0, runs = false, pending = NULL, first = NULL, due = NULL
WHERE name = l.name AND busy;
END $f$;
CREATE OR REPLACE FUNCTION soloist.heard_1(me text, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
IF EXISTS (SELECT FROM soloist.client WHERE client = me AND seen BETWEEN n - 500000 AND n) THEN RETURN; END IF;
INSERT INTO soloist.client VALUES (me, n) ON CONFLICT (client) DO UPDATE SET seen = excluded.seen;
END $f$;
CREATE OR REPLACE FUNCTION soloist.next_run_1(l soloist.lock, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE w soloist.claim;
BEGIN
IF (SELECT pending FROM soloist.lock WHERE name = l.name) IS NOT NULL THEN RETURN; END IF;
SELECT * INTO w FROM soloist.claim WHERE id = l.id AND fence IS NULL ORDER BY ticket, since LIMIT 1;
IF w.begins THEN PERFORM soloist.become_1(l, w.owner, w.note, NULL, n); END IF;
END $f$;
CREATE OR REPLACE FUNCTION soloist.become_1(l soloist.lock, ow text, nt text, due_ bigint, n bigint) RETURNS void
LANGUAGE plpgsql AS $f$
BEGIN
UPDATE soloist.lock SET runs = true, pending = ow, first = n, due = due_ WHERE name = l.name;
PERFORM soloist.only_note_1(l, ow, nt);
END $f$;
CREATE OR REPLACE FUNCTION soloist.only_note_1(l soloist.lock, ow text, nt text) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
DELETE FROM soloist.note WHERE id = l.id AND run = ow;
IF nt IS NOT NULL THEN INSERT INTO soloist.note (id, run, owner, text) VALUES (l.id, ow, ow, nt); END IF;
END $f$;
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
CREATE OR REPLACE FUNCTION soloist.tell_1(cl text, kind text, nm text, ow text, f bigint) RETURNS void LANGUAGE sql AS $f$
SELECT pg_notify('soloist_' || md5(cl), CASE WHEN octet_length(nm) + octet_length(ow) > 7900 THEN 'x'
ELSE kind || f || ' ' || length(nm) || ' ' || nm || ow END)
$f$;
CREATE OR REPLACE FUNCTION soloist.remove_1(l soloist.lock, ow text, tx text, by_ text, keep bigint, n bigint)
RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
DELETE FROM soloist.claim WHERE id = l.id AND owner = ow;
IF NOT FOUND THEN RETURN; END IF;
PERFORM soloist.end_1(l, ow, tx, by_, keep, n);
PERFORM soloist.over_1(l, ow, n);
END $f$;
CREATE OR REPLACE FUNCTION soloist.stays_1(w soloist.claim, n bigint) RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
IF w.durable OR w.since >= n - 12000000 THEN RETURN true; END IF;
RETURN EXISTS (SELECT FROM soloist.client WHERE client = w.client AND seen >= n - 12000000);
END $f$;
CREATE OR REPLACE FUNCTION soloist.drop_silent_1(l soloist.lock, ow text, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE w soloist.claim;
BEGIN
SELECT * INTO w FROM soloist.claim WHERE id = l.id AND owner = ow AND fence IS NULL;
IF w.id IS NULL OR soloist.stays_1(w, n) THEN RETURN; END IF;
DELETE FROM soloist.claim WHERE id = l.id AND owner = ow;
PERFORM soloist.over_1(l, ow, n);
END $f$;
CREATE OR REPLACE FUNCTION soloist.expire_1(l soloist.lock, n bigint) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE ow text;
BEGIN
IF l.pending IS NOT NULL THEN PERFORM soloist.drop_silent_1(l, l.pending, n); END IF;
FOR ow IN DELETE FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL AND until <= n RETURNING owner LOOP
PERFORM soloist.over_1(l, ow, n);
END LOOP;
END $f$;
CREATE OR REPLACE FUNCTION soloist.fits_1(l soloist.lock, sh boolean, most_ int) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE held int; alone boolean;
BEGIN
SELECT count(*), bool_or(NOT shared) INTO held, alone FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL;
RETURN held = 0 OR (sh AND NOT alone AND (most_ IS NULL OR held < most_));
END $f$;
CREATE OR REPLACE FUNCTION soloist.unguarded_1(nm text) RETURNS boolean LANGUAGE sql VOLATILE AS $f$
SELECT pg_try_advisory_lock(hashtextextended(nm, 7002)) AND pg_advisory_unlock(hashtextextended(nm, 7002))
$f$;
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
CREATE OR REPLACE FUNCTION soloist.hint_1(nm text, n bigint, OUT holder text, OUT retry bigint) LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; w soloist.claim; soonest bigint;
BEGIN
SELECT * INTO l FROM soloist.lock WHERE name = nm;
SELECT owner INTO holder FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL ORDER BY fence LIMIT 1;
SELECT min(until) INTO soonest FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL;
IF holder IS NULL THEN soonest := n + 50000; END IF;
IF l.due > n THEN
SELECT * INTO w FROM soloist.claim WHERE id = l.id AND fence IS NULL ORDER BY ticket, since LIMIT 1;
IF w.owner = l.pending THEN
soonest := CASE WHEN soloist.fits_1(l, w.shared, w.most) THEN l.due ELSE greatest(soonest, l.due) END;
END IF;
END IF;
IF soonest < 9223372036854775807 THEN retry := greatest((soonest - n + 999) / 1000, 1); END IF;
END $f$;
CREATE OR REPLACE FUNCTION soloist.unbegun_1(nm text, ow text, n bigint) RETURNS boolean LANGUAGE sql AS $f$
SELECT EXISTS (SELECT FROM soloist.result WHERE name_hash = hashtextextended(nm, 7001) AND
owner_hash = hashtextextended(ow, 7001) AND name = nm AND owner = ow AND until > n AND text IS NULL AND taker IS NULL)
$f$;
CREATE OR REPLACE FUNCTION soloist.displaced_1(nm text, ow text, n bigint) RETURNS text LANGUAGE sql AS $f$
SELECT taker FROM soloist.result WHERE name_hash = hashtextextended(nm, 7001)
AND owner_hash = hashtextextended(ow, 7001) AND name = nm AND owner = ow AND until > n
$f$;
CREATE OR REPLACE FUNCTION soloist.busy_1(nm text, tk bigint, requeued boolean, n bigint) RETURNS jsonb
LANGUAGE plpgsql AS $f$
DECLARE x record;
BEGIN
SELECT * INTO x FROM soloist.hint_1(nm, n);
RETURN jsonb_build_array('b', x.holder, x.retry, tk, requeued);
END $f$;
CREATE OR REPLACE FUNCTION soloist.acquire_1(c soloist.claim, tk bigint, replaces text, n bigint,
OUT answer jsonb, OUT grants text[]) LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; mine soloist.claim; place bigint; h soloist.claim;
BEGIN
SELECT * INTO l FROM soloist.lock WHERE name = c.name AND busy;
IF l.name IS NULL THEN l := soloist.open_1(c.name, n); END IF;
IF replaces IS NULL AND NOT l.runs AND (tk IS NULL OR tk = -1) THEN
SELECT * INTO h FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL ORDER BY fence LIMIT 1;
IF NOT h.shared AND h.until > n AND NOT EXISTS (SELECT FROM soloist.claim WHERE id = l.id AND owner = c.owner) THEN
grants := '{}';
IF tk = -1 THEN
PERFORM soloist.heard_1(c.client, n);
place := soloist.enqueue_1(l, c, NULL, n);
END IF;
answer := jsonb_build_array('b', h.owner,
CASE WHEN h.until < 9223372036854775807 THEN greatest((h.until - n + 999) / 1000, 1) END, place, false);
RETURN;
END IF;
END IF;
IF tk IS NOT NULL THEN PERFORM soloist.heard_1(c.client, n); END IF;
PERFORM soloist.expire_1(l, n);
grants := soloist.advance_1(c.name, c.client, c.owner, n);
SELECT * INTO l FROM soloist.lock WHERE name = c.name;
SELECT * INTO mine FROM soloist.claim WHERE id = l.id AND owner = c.owner;
IF mine.fence IS NOT NULL THEN
UPDATE soloist.claim SET until = soloist.after_1(n, c.ttl), pushed = false WHERE id = l.id AND owner = c.owner;
answer := jsonb_build_array('g', mine.fence);
RETURN;
END IF;
IF tk >= 0 AND mine.id IS NULL AND soloist.displaced_1(c.name, c.owner, n) IS NOT NULL THEN
answer := soloist.busy_1(c.name, NULL, false, n);
RETURN;
END IF;
IF replaces IS NOT NULL AND tk IS NOT NULL THEN
SELECT ticket INTO place FROM soloist.claim WHERE id = l.id AND owner = replaces AND fence IS NULL;
IF place < coalesce(mine.ticket, place + 1) THEN
IF mine.id IS NULL THEN
PERFORM soloist.enqueue_1(l, c, place, n);
ELSE
UPDATE soloist.claim SET ticket = place WHERE id = l.id AND owner = c.owner;
END IF;
PERFORM soloist.remove_1(l, replaces, NULL, NULL, NULL, n);
grants := grants || soloist.advance_1(c.name, c.client, c.owner, n);
SELECT * INTO mine FROM soloist.claim WHERE id = l.id AND owner = c.owner;
answer := CASE WHEN mine.fence IS NULL THEN soloist.busy_1(c.name, place, false, n)
ELSE jsonb_build_array('g', mine.fence) END;
RETURN;
END IF;
END IF;
IF replaces IS NOT NULL AND soloist.unguarded_1(c.name) AND EXISTS
(SELECT FROM soloist.claim WHERE id = l.id AND owner = replaces AND fence IS NOT NULL AND shared = c.shared)
THEN
PERFORM soloist.remove_1(l, replaces, NULL, NULL, NULL, n);
answer := jsonb_build_array('g', soloist.hold_1(l, c, n));
IF l.runs THEN PERFORM soloist.next_run_1(l, n); END IF;
RETURN;
END IF;
IF NOT EXISTS (SELECT FROM soloist.claim WHERE id = l.id AND fence IS NULL) AND soloist.fits_1(l, c.shared, c.most)
AND soloist.unguarded_1(c.name)
THEN
answer := jsonb_build_array('g', soloist.hold_1(l, c, n));
RETURN;
END IF;
IF tk IS NULL THEN
answer := soloist.busy_1(c.name, NULL, false, n);
PERFORM soloist.tidy_1(l);
RETURN;
END IF;
IF mine.id IS NOT NULL THEN
place := mine.ticket;
ELSE
place := soloist.enqueue_1(l, c, nullif(tk, -1), n);
IF tk >= 0 THEN grants := grants || soloist.advance_1(c.name, c.client, c.owner, n); END IF;
SELECT * INTO mine FROM soloist.claim WHERE id = l.id AND owner = c.owner;
IF mine.fence IS NOT NULL THEN
answer := jsonb_build_array('g', mine.fence);
RETURN;
END IF;
answer := soloist.busy_1(c.name, place, tk >= 0, n);
RETURN;
END IF;
answer := soloist.busy_1(c.name, place, false, n);
END $f$;
CREATE OR REPLACE FUNCTION soloist.renew_1(nm text, ow text, tl bigint, n bigint) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE f bigint;
BEGIN
UPDATE soloist.lock SET until = soloist.after_1(n, tl) WHERE name = nm AND owner = ow AND until > n RETURNING fence INTO f;
IF f IS NULL THEN
UPDATE soloist.claim SET until = soloist.after_1(n, tl), pushed = false
WHERE id = (SELECT id FROM soloist.lock WHERE name = nm AND busy) AND owner = ow AND until > n RETURNING fence INTO f;
END IF;
RETURN CASE WHEN f IS NULL THEN '["l"]' ELSE jsonb_build_array('h', f) END;
END $f$;
CREATE OR REPLACE FUNCTION soloist.release_1(nm text, ow text, tx text, keep bigint, me text, n bigint,
OUT held boolean, OUT grants text[]) LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock;
BEGIN
held := false; grants := '{}';
SELECT * INTO l FROM soloist.lock WHERE name = nm;
IF l.name IS NULL THEN RETURN; END IF;
IF NOT l.busy THEN
IF l.owner IS DISTINCT FROM ow THEN RETURN; END IF;
held := l.until > n;
UPDATE soloist.lock SET owner = NULL, meta = NULL WHERE name = nm;
IF held THEN PERFORM soloist.end_1(l, ow, tx, NULL, keep, n); END IF;
RETURN;
END IF;
IF NOT l.runs THEN
DELETE FROM soloist.claim WHERE id = l.id AND owner = ow AND fence IS NOT NULL AND until > n AND NOT shared;
IF FOUND THEN
held := true;
PERFORM soloist.end_1(l, ow, tx, NULL, keep, n);
grants := soloist.advance_1(nm, me, NULL, n);
IF grants = '{}' THEN PERFORM soloist.tidy_1(l); END IF;
RETURN;
END IF;
END IF;
PERFORM soloist.expire_1(l, n);
held := EXISTS (SELECT FROM soloist.claim WHERE id = l.id AND owner = ow AND fence IS NOT NULL);
PERFORM soloist.remove_1(l, ow, tx, NULL, CASE WHEN held THEN keep END, n);
grants := soloist.advance_1(nm, me, NULL, n);
PERFORM soloist.tidy_1(l);
END $f$;
CREATE OR REPLACE FUNCTION soloist.begin_1(nm text, ow text, of_ text, me text, n bigint, OUT answer jsonb, OUT grants text[])
LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; mine soloist.claim; by_ text; notes jsonb;
BEGIN
grants := '{}';
SELECT * INTO l FROM soloist.lock WHERE name = nm;
IF l.owner = ow AND l.until > n THEN
answer := '["n", []]';
RETURN;
END IF;
IF l.busy THEN
PERFORM soloist.expire_1(l, n);
grants := soloist.advance_1(nm, me, NULL, n);
SELECT * INTO mine FROM soloist.claim WHERE id = l.id AND owner = ow AND (fence IS NOT NULL OR of_ IS NOT NULL);
IF mine.id IS NOT NULL THEN
SELECT * INTO l FROM soloist.lock WHERE name = nm;
IF mine.begins AND mine.fence IS NULL THEN
UPDATE soloist.claim SET begins = false, note = NULL WHERE id = l.id AND owner = ow;
IF l.pending IS DISTINCT FROM ow THEN
PERFORM soloist.only_note_1(l, ow, mine.note);
INSERT INTO soloist.note (id, run, owner, text) VALUES (l.id, ow, '', '');
END IF;
END IF;
UPDATE soloist.lock SET pending = NULL, first = NULL, due = NULL WHERE name = nm AND pending = ow;
IF of_ IS NULL THEN
DELETE FROM soloist.note WHERE id = l.id AND run = ow AND owner = '';
ELSIF l.pending = ow THEN
INSERT INTO soloist.note (id, run, owner, text) VALUES (l.id, ow, '', '');
END IF;
IF EXISTS (SELECT FROM soloist.note WHERE id = l.id AND run = ow AND owner = '') THEN
DELETE FROM soloist.note WHERE id = l.id AND run = ow AND owner = of_;
END IF;
SELECT coalesce(jsonb_agg(jsonb_build_array(owner, text) ORDER BY seq), '[]') INTO notes
FROM soloist.note WHERE id = l.id AND run = ow AND owner = coalesce(of_, owner);
IF l.runs THEN PERFORM soloist.next_run_1(l, n); END IF;
answer := jsonb_build_array('n', notes);
RETURN;
END IF;
PERFORM soloist.tidy_1(l);
END IF;
by_ := soloist.displaced_1(nm, ow, n);
IF of_ IS NOT NULL AND soloist.unbegun_1(nm, ow, n) THEN by_ := ''; END IF;
answer := CASE WHEN by_ IS NULL THEN '["l"]' ELSE jsonb_build_array('d', by_) END;
END $f$;
CREATE OR REPLACE FUNCTION soloist.seen_run_1(c soloist.claim, asking text, n bigint) RETURNS jsonb LANGUAGE sql AS $f$
SELECT CASE WHEN c.owner IS NOT NULL AND c.owner <> asking
THEN jsonb_build_array(c.owner, greatest(n - coalesce(c.fence, c.since), 0) / 1000) END
$f$;
CREATE OR REPLACE FUNCTION soloist.seen_1(l soloist.lock, asking text, n bigint) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE h soloist.claim; p soloist.claim; w soloist.claim; none soloist.claim;
BEGIN
SELECT * INTO h FROM soloist.claim WHERE id = l.id AND fence IS NOT NULL ORDER BY fence LIMIT 1;
SELECT * INTO w FROM soloist.claim WHERE id = l.id AND fence IS NULL ORDER BY ticket, since LIMIT 1;
IF l.pending IS NOT NULL THEN SELECT * INTO p FROM soloist.claim WHERE id = l.id AND owner = l.pending; END IF;
IF h.owner = l.pending THEN h := none; END IF;
IF w.owner = l.pending THEN w := none; END IF;
RETURN jsonb_build_array(soloist.seen_run_1(h, asking, n), soloist.seen_run_1(p, asking, n),
soloist.seen_run_1(w, asking, n));
END $f$;
CREATE OR REPLACE FUNCTION soloist.trigger_1(c soloist.claim, running text, pending_ text, nt text, begins_ boolean,
wait bigint, most_wait bigint, without text, keep bigint, n bigint, OUT answer jsonb, OUT grants text[])
LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; mine soloist.claim; old soloist.claim; seen jsonb; free boolean; act text; place bigint; f bigint;
found_ text; due_ bigint;
BEGIN
l := soloist.open_1(c.name, n);
PERFORM soloist.heard_1(c.client, n);
PERFORM soloist.expire_1(l, n);
IF without IS NOT NULL THEN PERFORM soloist.remove_1(l, without, NULL, NULL, NULL, n); END IF;
grants := soloist.advance_1(c.name, c.client, c.owner, n);
SELECT * INTO l FROM soloist.lock WHERE name = c.name;
seen := soloist.seen_1(l, c.owner, n);
SELECT * INTO mine FROM soloist.claim WHERE id = l.id AND owner = c.owner;
IF mine.fence IS NOT NULL THEN
UPDATE soloist.claim SET until = soloist.after_1(n, c.ttl), pushed = false WHERE id = l.id AND owner = c.owner;
answer := jsonb_build_array('g', mine.fence, seen, coalesce(l.pending = c.owner, false));
RETURN;
ELSIF mine.id IS NOT NULL THEN
answer := soloist.busy_1(c.name, mine.ticket, false, n) || jsonb_build_array(seen);
RETURN;
END IF;
found_ := soloist.displaced_1(c.name, c.owner, n);
IF found_ IS NOT NULL THEN
answer := jsonb_build_array('d', found_);
PERFORM soloist.tidy_1(l);
RETURN;
END IF;
IF l.runs THEN
SELECT run INTO found_ FROM soloist.note WHERE id = l.id AND owner = c.owner
ORDER BY (run = l.pending) DESC NULLS LAST, seq LIMIT 1;
IF found_ IS NOT NULL THEN
answer := jsonb_build_array('m', seen, found_);
RETURN;
END IF;
END IF;
free := NOT EXISTS (SELECT FROM soloist.claim WHERE id = l.id AND fence IS NULL)
AND soloist.fits_1(l, c.shared, c.most) AND soloist.unguarded_1(c.name);
IF free AND wait IS NULL THEN
f := soloist.hold_1(l, c, n);
IF begins_ AND l.pending IS NULL THEN PERFORM soloist.become_1(l, c.owner, nt, NULL, n);
ELSIF begins_ THEN PERFORM soloist.only_note_1(l, c.owner, nt); END IF;
answer := jsonb_build_array('g', f, seen, begins_ AND l.pending IS NULL);
RETURN;
END IF;
act := CASE WHEN l.pending IS NOT NULL THEN pending_ WHEN free THEN 'follow' ELSE running END;
IF act = 'meet' THEN
answer := jsonb_build_array('m', seen, NULL);
PERFORM soloist.tidy_1(l);
RETURN;
END IF;
due_ := least(n + wait, coalesce(l.first, n) + most_wait);
IF act = 'wait' OR l.pending IS NULL THEN
c.begins := begins_ OR act <> 'wait'; c.note := nt;
place := soloist.enqueue_1(l, c, NULL, n);
IF act = 'wait' THEN
UPDATE soloist.lock SET runs = true WHERE name = c.name AND begins_ AND NOT runs;
PERFORM soloist.next_run_1(l, n);
ELSE
PERFORM soloist.become_1(l, c.owner, nt, due_, n);
END IF;
answer := soloist.busy_1(c.name, place, false, n) || jsonb_build_array(seen);
RETURN;
END IF;
SELECT * INTO old FROM soloist.claim WHERE id = l.id AND owner = l.pending;
IF act = 'follow' THEN
IF nt IS NOT NULL THEN
INSERT INTO soloist.note (id, run, owner, text) VALUES (l.id, l.pending, c.owner, nt);
END IF;
IF old.fence IS NULL THEN UPDATE soloist.lock SET due = due_ WHERE name = c.name AND due_ IS NOT NULL; END IF;
answer := jsonb_build_array('m', seen, l.pending);
RETURN;
END IF;
DELETE FROM soloist.note WHERE id = l.id AND run = l.pending;
DELETE FROM soloist.claim WHERE id = l.id AND owner = l.pending;
PERFORM soloist.end_1(l, l.pending, NULL, c.owner, keep, n);
UPDATE soloist.lock SET pending = c.owner, due = coalesce(due_, due) WHERE name = c.name RETURNING * INTO l;
PERFORM soloist.only_note_1(l, c.owner, nt);
IF old.fence IS NOT NULL AND wait IS NULL AND soloist.fits_1(l, c.shared, c.most) AND soloist.unguarded_1(c.name) THEN
f := soloist.hold_1(l, c, n);
IF NOT begins_ THEN
UPDATE soloist.lock SET pending = NULL, first = NULL, due = NULL WHERE name = c.name;
PERFORM soloist.next_run_1(l, n);
END IF;
answer := jsonb_build_array('g', f, seen, begins_);
RETURN;
END IF;
IF old.fence IS NULL THEN
place := old.ticket;
ELSE
SELECT least(min(ticket) - 1, n) INTO place FROM soloist.claim WHERE id = l.id AND fence IS NULL;
END IF;
c.begins := true; c.note := nt;
place := soloist.enqueue_1(l, c, place, n);
grants := grants || soloist.advance_1(c.name, c.client, c.owner, n);
SELECT fence INTO f FROM soloist.claim WHERE id = l.id AND owner = c.owner;
answer := CASE WHEN f IS NULL THEN soloist.busy_1(c.name, place, false, n) || jsonb_build_array(seen)
ELSE jsonb_build_array('g', f, seen, true) END;
END $f$;
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
IF quiet THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
RETURN json_build_array(a, r, n, s, handed)::text;
END $f$;
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
CREATE OR REPLACE FUNCTION soloist.news_1(me text) RETURNS TABLE (kind text, name text, owner text, fence text)
LANGUAGE sql STABLE AS $f$
SELECT 'g', c.name, c.owner, c.fence::text FROM soloist.claim c
WHERE c.client = me AND c.pushed AND c.until > soloist.now_1()
UNION ALL SELECT 'e', w.name, w.owner, '0' FROM soloist.watcher w WHERE w.client = me AND w.ended
$f$;
CREATE OR REPLACE FUNCTION soloist.guard_1(nm text, ow text, f bigint, mark text) RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE ok boolean := false;
BEGIN
IF current_setting('soloist_guard.mark', true) IS DISTINCT FROM mark THEN
RAISE EXCEPTION 'no transaction is open' USING ERRCODE = 'SL004';
END IF;
PERFORM pg_advisory_xact_lock_shared(hashtextextended(nm, 7002));
BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended(nm, 7001));
IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
ok := EXISTS (SELECT FROM soloist.lock WHERE name = nm AND owner = ow AND fence = f AND until > soloist.now_1())
OR EXISTS (SELECT FROM soloist.claim WHERE owner = ow AND fence = f AND until > soloist.now_1()
AND id = (SELECT id FROM soloist.lock WHERE name = nm AND busy));
ELSE
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
DELETE FROM soloist.result WHERE ctid = ANY (ARRAY(SELECT ctid FROM soloist.result WHERE until <= n
LIMIT most_ FOR UPDATE SKIP LOCKED));
IF goes_on THEN RETURN k; END IF;
DELETE FROM soloist.watcher WHERE ctid = ANY (ARRAY(SELECT ctid FROM soloist.watcher WHERE seen < n - 60000000
FOR UPDATE SKIP LOCKED));
DELETE FROM soloist.client WHERE ctid = ANY (ARRAY(SELECT ctid FROM soloist.client WHERE seen < n - 60000000
FOR UPDATE SKIP LOCKED));
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
CREATE OR REPLACE FUNCTION soloist.page_1(start text, after text, stop text, OUT last text, OUT names text[])
LANGUAGE sql STABLE AS $f$
SELECT CASE WHEN count(*) = 100 THEN max(name COLLATE "C") END, coalesce(array_agg(name), '{}')
FROM (SELECT name FROM soloist.lock WHERE name >= start AND (after IS NULL OR name > after) AND (stop IS NULL OR name < stop)
AND (busy OR owner IS NOT NULL) ORDER BY name LIMIT 100) q
$f$;
`,
  tables: `
CREATE TABLE soloist.store (
one     boolean PRIMARY KEY DEFAULT true CHECK (one),
version int     NOT NULL,            -- which tables these are
mark    bigint  NOT NULL DEFAULT 0,  -- no fence of a lock whose row was removed is above this
swept   bigint  NOT NULL DEFAULT 0,  -- when rows that are of no use were last removed
oldest  int     NOT NULL DEFAULT 1   -- the oldest version of the functions that can work with these tables
);
INSERT INTO soloist.store (version) VALUES (1);
CREATE TABLE soloist.lock (
name    text    COLLATE "C" PRIMARY KEY,
fence   bigint  NOT NULL,               -- the last one granted
until   bigint  NOT NULL DEFAULT 0,     -- when the lease of \`owner\` runs out
owner   text    COLLATE "C",            -- who holds it alone; never set while \`busy\`
meta    text,
busy    boolean NOT NULL DEFAULT false, -- whether its holders and waiters are rows of \`claim\`
id      bigint,                         -- what those rows know it by, from when it was first busy
head    bigint  NOT NULL DEFAULT 0,     -- nobody waits with a lower ticket
runs    boolean NOT NULL DEFAULT false, -- whether there was a pending run since it became busy
pending text    COLLATE "C",            -- the owner of the pending run
first   bigint,                         -- when that run was first triggered
due     bigint                          -- before when it does not start
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE SEQUENCE soloist.lock_id CACHE 32;
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
CREATE TABLE soloist.client (
client text   COLLATE "C" PRIMARY KEY,
seen   bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE soloist.note (
id    bigint NOT NULL,
run   text   COLLATE "C" NOT NULL,
owner text   COLLATE "C" NOT NULL,
seq   bigint GENERATED ALWAYS AS IDENTITY,
text  text   NOT NULL
);
CREATE INDEX note_lock ON soloist.note (id, seq);
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
`,
}
