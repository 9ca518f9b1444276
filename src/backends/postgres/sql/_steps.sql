-- The steps that go one by one, as the memory backend makes them. Each answers a JSON array whose first element says what it
-- is: g granted, b busy, h held, l lost, r released, m met, d displaced, n begun.

CREATE OR REPLACE FUNCTION soloist.busy_1(nm text, tk bigint, requeued boolean, n bigint) RETURNS jsonb
LANGUAGE plpgsql AS $f$
DECLARE x record;
BEGIN
  SELECT * INTO x FROM soloist.hint_1(nm, n);
  RETURN jsonb_build_array('b', x.holder, x.retry, tk, requeued);
END $f$;

-- `c` is the claim with its name, owner, ttl, shared, most, client, durable and meta. `tk` NULL: it is not queued, -1: behind
-- everybody else.
CREATE OR REPLACE FUNCTION soloist.acquire_1(c soloist.claim, tk bigint, replaces text, n bigint,
  OUT answer jsonb, OUT grants text[]) LANGUAGE plpgsql AS $f$
DECLARE l soloist.lock; mine soloist.claim; place bigint; h soloist.claim;
BEGIN
  SELECT * INTO l FROM soloist.lock WHERE name = c.name AND busy;
  IF l.name IS NULL THEN l := soloist.open_1(c.name, n); END IF;
  -- Under a holder that is alone there is nothing to grant: who is new waits, or is refused.
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
      -- It may fit where the other did not.
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
    -- An old ticket may stand before one that does not fit.
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

-- `tx`, for so long: what the owner leaves if it holds the lock.
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
  -- Nobody holds it beside an owner that holds it alone, and no time but that owner's own could be up.
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

-- `of_`: who takes back what it left with the run; NULL: its owner begins it.
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
        -- It waits, and does not become the pending run any more.
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

-- A run that a trigger sees; its own claim counts as nobody.
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

-- The step's fields that an acquire has not: what to do while `running` and while `pending` (meet, wait, follow, displace), the
-- note, whether the claim begins, the debounce as microseconds (NULL: none), the dead owner, and how long a displacement is kept.
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

  -- What a repeated trigger finds.
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

  -- The trigger's claim takes the place of the pending run: its ticket, or the lock that it holds.
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
  -- It may fit where the run before did not.
  grants := grants || soloist.advance_1(c.name, c.client, c.owner, n);
  SELECT fence INTO f FROM soloist.claim WHERE id = l.id AND owner = c.owner;
  answer := CASE WHEN f IS NULL THEN soloist.busy_1(c.name, place, false, n) || jsonb_build_array(seen)
    ELSE jsonb_build_array('g', f, seen, true) END;
END $f$;
