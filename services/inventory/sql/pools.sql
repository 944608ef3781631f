-- Locks pools in the one order of the house, and with them the pools of holds that ran out and share one of these:
-- to reclaim such a hold all its pools must be locked. A pool that was never opened gives no row.
-- The time is taken once the lock is there.
-- name: lock_stock
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT w.store_id, w.bird_type, w.inventory_type
    FROM unnest($1::integer[], $2::text[], $3::text[]) AS w (store_id, bird_type, inventory_type)
),
ran_out AS MATERIALIZED (
    SELECT r.store_id, r.reservation_id
    FROM reservation AS r
    WHERE r.state = 'HELD' AND r.store_id = ANY($1::integer[]) AND r.hold_until <= (SELECT venus_now())
),
shared AS MATERIALIZED (
    SELECT DISTINCT other.store_id, other.bird_type, other.inventory_type
    FROM ran_out
    JOIN reservation_line AS line USING (store_id, reservation_id)
    JOIN wanted USING (store_id, bird_type, inventory_type)
    JOIN reservation_line AS other
        ON other.store_id = ran_out.store_id AND other.reservation_id = ran_out.reservation_id
),
needed AS MATERIALIZED (
    SELECT store_id, bird_type, inventory_type FROM wanted
    UNION
    SELECT store_id, bird_type, inventory_type FROM shared
),
-- A join and no IN: a row that changed while we waited for its lock is looked at again, and an aggregated subquery
-- cannot be asked again: some plans would then lose the pool.
locked AS MATERIALIZED (
    SELECT p.*
    FROM needed
    JOIN pool AS p
        ON p.store_id = needed.store_id
        AND p.bird_type = needed.bird_type
        AND p.inventory_type = needed.inventory_type
    ORDER BY p.store_id, p.bird_type, p.inventory_type
    FOR UPDATE OF p
)
SELECT
    store_id, bird_type, inventory_type, on_hand_grams, held_grams, on_hand_birds, held_birds, sequence, last_moved_at,
    venus_now() AS locked_at
FROM locked;

-- Under the lock of lock_stock: the one way in which a pool changes.
-- name: save_levels
UPDATE pool AS p
SET
    on_hand_grams = level.on_hand_grams,
    held_grams = level.held_grams,
    on_hand_birds = level.on_hand_birds,
    held_birds = level.held_birds,
    sequence = level.sequence,
    last_moved_at = level.last_moved_at
FROM unnest(
    $1::integer[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[], $8::bigint[],
    $9::timestamptz[]
) AS level (
    store_id, bird_type, inventory_type, on_hand_grams, held_grams, on_hand_birds, held_birds, sequence, last_moved_at
)
WHERE p.store_id = level.store_id AND p.bird_type = level.bird_type AND p.inventory_type = level.inventory_type;

-- name: insert_movements
INSERT INTO movement (
    store_id, bird_type, inventory_type, sequence, weight_grams, bird_count, on_hand_grams, on_hand_birds, reason,
    reference, business_date, actor, trace_id, created_at
)
SELECT *
FROM unnest(
    $1::integer[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[], $7::bigint[], $8::integer[],
    $9::text[], $10::text[], $11::date[], $12::text[], $13::text[], $14::timestamptz[]
);

-- Under the store's lock; in the order in which pools are locked.
-- name: insert_pools
INSERT INTO pool (store_id, bird_type, inventory_type, last_moved_at)
SELECT store_id, bird_type, inventory_type, opened_at
FROM unnest($1::integer[], $2::text[], $3::text[], $4::timestamptz[])
    AS opened (store_id, bird_type, inventory_type, opened_at)
ORDER BY store_id, bird_type, inventory_type;

-- What stores have. A hold that ran out no longer counts, reclaimed or not: it would give way to the next reserve.
-- name: list_pools
WITH ran_out AS MATERIALIZED (
    SELECT
        line.store_id, line.bird_type, line.inventory_type, sum(line.weight_grams)::bigint AS weight_grams,
        sum(line.bird_count)::integer AS bird_count
    FROM reservation AS r
    JOIN reservation_line AS line USING (store_id, reservation_id)
    WHERE r.state = 'HELD' AND r.store_id = ANY($1::integer[]) AND r.hold_until <= (SELECT venus_now())
    GROUP BY line.store_id, line.bird_type, line.inventory_type
)
SELECT
    p.store_id, p.bird_type, p.inventory_type, p.on_hand_grams, p.on_hand_birds, p.sequence, p.last_moved_at,
    p.held_grams - coalesce(ran_out.weight_grams, 0) AS held_grams,
    p.held_birds - coalesce(ran_out.bird_count, 0) AS held_birds
FROM pool AS p
LEFT JOIN ran_out USING (store_id, bird_type, inventory_type)
WHERE p.store_id = ANY($1::integer[])
ORDER BY p.store_id, p.bird_type, p.inventory_type;
