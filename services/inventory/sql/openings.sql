-- Takes the ids in one order; a row that comes back is new.
-- name: insert_openings
INSERT INTO opening (store_id, opening_id, fingerprint, actor, trace_id)
SELECT store_id, opening_id, fingerprint, actor, trace_id
FROM unnest($1::integer[], $2::uuid[], $3::bytea[], $4::text[], $5::text[])
    AS wanted (store_id, opening_id, fingerprint, actor, trace_id)
ORDER BY store_id, opening_id
ON CONFLICT (store_id, opening_id) DO NOTHING
RETURNING store_id, opening_id;

-- name: find_openings
SELECT
    o.store_id, o.opening_id, o.fingerprint, o.created_at, line.bird_type, line.inventory_type, line.weight_grams,
    line.bird_count
FROM unnest($1::integer[], $2::uuid[]) AS wanted (store_id, opening_id)
JOIN opening AS o USING (store_id, opening_id)
JOIN opening_line AS line USING (store_id, opening_id)
ORDER BY o.store_id, o.opening_id, line.bird_type, line.inventory_type;

-- name: insert_opening_lines
INSERT INTO opening_line (store_id, opening_id, bird_type, inventory_type, weight_grams, bird_count)
SELECT *
FROM unnest($1::integer[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::integer[]);

-- Takes back the rows of what was refused in this transaction.
-- name: delete_openings
DELETE FROM opening AS o
USING unnest($1::integer[], $2::uuid[]) AS refused (store_id, opening_id)
WHERE o.store_id = refused.store_id AND o.opening_id = refused.opening_id;
