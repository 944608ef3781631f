-- Takes the ids in one order, so that two batches with the same ids never wait for each other in a circle.
-- A row that comes back is new; a missing one was there before, perhaps a moment ago by a twin.
-- name: insert_reservations
INSERT INTO reservation (store_id, reservation_id, state, fingerprint, hold_until, holder, actor, trace_id)
SELECT store_id, reservation_id, 'HELD', fingerprint, venus_now() + ttl, holder, actor, trace_id
FROM unnest($1::integer[], $2::uuid[], $3::bytea[], $4::interval[], $5::text[], $6::text[], $7::text[])
    AS wanted (store_id, reservation_id, fingerprint, ttl, holder, actor, trace_id)
ORDER BY store_id, reservation_id
ON CONFLICT (store_id, reservation_id) DO NOTHING
RETURNING store_id, reservation_id, hold_until, created_at;

-- Releases what never came: the row that refuses it for ever.
-- name: insert_tombstones
INSERT INTO reservation (store_id, reservation_id, state, holder, actor, trace_id, ended_at)
SELECT store_id, reservation_id, 'RELEASED', holder, actor, trace_id, venus_now()
FROM unnest($1::integer[], $2::uuid[], $3::text[], $4::text[], $5::text[])
    AS released (store_id, reservation_id, holder, actor, trace_id)
ORDER BY store_id, reservation_id
ON CONFLICT (store_id, reservation_id) DO NOTHING
RETURNING store_id, reservation_id;

-- Reservations with their lines, which never change; the state may, until their pools are locked.
-- name: find_reservations
SELECT
    r.store_id, r.reservation_id, r.state, r.fingerprint, r.hold_until, r.holder, r.created_at,
    coalesce(r.hold_until <= venus_now(), false) AS ran_out,
    line.bird_type, line.inventory_type, line.weight_grams, line.bird_count
FROM unnest($1::integer[], $2::uuid[]) AS wanted (store_id, reservation_id)
JOIN reservation AS r USING (store_id, reservation_id)
LEFT JOIN reservation_line AS line USING (store_id, reservation_id)
ORDER BY r.store_id, r.reservation_id, line.bird_type, line.inventory_type;

-- name: insert_lines
INSERT INTO reservation_line (store_id, reservation_id, bird_type, inventory_type, weight_grams, bird_count)
SELECT *
FROM unnest($1::integer[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::integer[]);

-- Holds again what ran out. Under the lock of its pools.
-- name: renew_holds
UPDATE reservation AS r
SET state = 'HELD', hold_until = venus_now() + wanted.ttl
FROM unnest($1::integer[], $2::uuid[], $3::interval[]) AS wanted (store_id, reservation_id, ttl)
WHERE
    r.store_id = wanted.store_id AND r.reservation_id = wanted.reservation_id AND r.state IN ('HELD', 'EXPIRED')
RETURNING r.store_id, r.reservation_id, r.hold_until;

-- Takes back the rows of what was refused in this transaction.
-- name: delete_reservations
DELETE FROM reservation AS r
USING unnest($1::integer[], $2::uuid[]) AS refused (store_id, reservation_id)
WHERE r.store_id = refused.store_id AND r.reservation_id = refused.reservation_id;

-- Ends what has not ended yet and tells what it was. Under the lock of its pools, so that nobody else can.
-- name: end_reservations
UPDATE reservation AS r
SET state = $4::text, business_date = ending.business_date, ended_at = venus_now()
FROM (
    SELECT before.store_id, before.reservation_id, before.state, wanted.business_date
    FROM unnest($1::integer[], $2::uuid[], $3::date[]) AS wanted (store_id, reservation_id, business_date)
    JOIN reservation AS before USING (store_id, reservation_id)
    WHERE before.state IN ('HELD', 'EXPIRED')
) AS ending
WHERE r.store_id = ending.store_id AND r.reservation_id = ending.reservation_id AND r.state = ending.state
RETURNING r.store_id, r.reservation_id, ending.state AS was;

-- Expires the holds that ran out in the short pools ($1-$3), if all their pools are locked ($4-$6) and they are not
-- being repeated right now ($7). Answers what that frees, pool by pool.
-- name: reclaim_holds
WITH short AS MATERIALIZED (
    SELECT * FROM unnest($1::integer[], $2::text[], $3::text[]) AS s (store_id, bird_type, inventory_type)
),
locked AS MATERIALIZED (
    SELECT * FROM unnest($4::integer[], $5::text[], $6::text[]) AS s (store_id, bird_type, inventory_type)
),
ran_out AS MATERIALIZED (
    SELECT r.store_id, r.reservation_id
    FROM reservation AS r
    WHERE
        r.state = 'HELD'
        AND r.store_id = ANY($1::integer[])
        AND r.hold_until <= (SELECT venus_now())
        AND r.reservation_id <> ALL($7::uuid[])
        AND EXISTS (
            SELECT FROM reservation_line AS line JOIN short USING (store_id, bird_type, inventory_type)
            WHERE line.store_id = r.store_id AND line.reservation_id = r.reservation_id
        )
        AND NOT EXISTS (
            SELECT FROM reservation_line AS line LEFT JOIN locked USING (store_id, bird_type, inventory_type)
            WHERE line.store_id = r.store_id AND line.reservation_id = r.reservation_id AND locked.store_id IS NULL
        )
    ORDER BY r.store_id, r.reservation_id
    FOR UPDATE OF r SKIP LOCKED
),
expired AS (
    UPDATE reservation AS r
    SET state = 'EXPIRED'
    FROM ran_out
    WHERE r.store_id = ran_out.store_id AND r.reservation_id = ran_out.reservation_id
)
SELECT
    line.store_id, line.bird_type, line.inventory_type, sum(line.weight_grams)::bigint AS weight_grams,
    sum(line.bird_count)::integer AS bird_count
FROM ran_out
JOIN reservation_line AS line USING (store_id, reservation_id)
GROUP BY line.store_id, line.bird_type, line.inventory_type;

-- name: insert_oversales
INSERT INTO oversale (store_id, reservation_id, bird_type, inventory_type, weight_grams, bird_count, sequence)
SELECT *
FROM unnest($1::integer[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::integer[], $7::bigint[]);

-- name: list_oversales
SELECT o.store_id, o.reservation_id, o.bird_type, o.inventory_type, o.weight_grams, o.bird_count
FROM unnest($1::integer[], $2::uuid[]) AS wanted (store_id, reservation_id)
JOIN oversale AS o USING (store_id, reservation_id)
ORDER BY o.store_id, o.reservation_id, o.bird_type, o.inventory_type;
