-- Takes the ids in one order; a row that comes back is new.
-- name: insert_adjustments
INSERT INTO adjustment (
    store_id, adjustment_id, fingerprint, bird_type, inventory_type, reason, note, actor, trace_id
)
SELECT store_id, adjustment_id, fingerprint, bird_type, inventory_type, reason, note, actor, trace_id
FROM unnest(
    $1::integer[], $2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]
) AS wanted (store_id, adjustment_id, fingerprint, bird_type, inventory_type, reason, note, actor, trace_id)
ORDER BY store_id, adjustment_id
ON CONFLICT (store_id, adjustment_id) DO NOTHING
RETURNING store_id, adjustment_id;

-- name: find_adjustments
SELECT
    a.store_id, a.adjustment_id, a.fingerprint, a.bird_type, a.inventory_type, a.reason, a.weight_grams, a.bird_count,
    a.on_hand_grams, a.held_grams, a.on_hand_birds, a.held_birds, a.sequence, a.created_at
FROM unnest($1::integer[], $2::uuid[]) AS wanted (store_id, adjustment_id)
JOIN adjustment AS a USING (store_id, adjustment_id);

-- Keeps the first answer, in the transaction that gave it.
-- name: answer_adjustments
UPDATE adjustment AS a
SET
    weight_grams = answer.weight_grams,
    bird_count = answer.bird_count,
    on_hand_grams = answer.on_hand_grams,
    held_grams = answer.held_grams,
    on_hand_birds = answer.on_hand_birds,
    held_birds = answer.held_birds,
    sequence = answer.sequence
FROM unnest(
    $1::integer[], $2::uuid[], $3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::integer[], $8::integer[],
    $9::bigint[]
) AS answer (
    store_id, adjustment_id, weight_grams, bird_count, on_hand_grams, held_grams, on_hand_birds, held_birds, sequence
)
WHERE a.store_id = answer.store_id AND a.adjustment_id = answer.adjustment_id;

-- Takes back the rows of what was refused in this transaction.
-- name: delete_adjustments
DELETE FROM adjustment AS a
USING unnest($1::integer[], $2::uuid[]) AS refused (store_id, adjustment_id)
WHERE a.store_id = refused.store_id AND a.adjustment_id = refused.adjustment_id;
