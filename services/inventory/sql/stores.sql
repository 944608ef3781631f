-- Takes over stores' facts where they are newer; one row per store.
-- name: apply_store_facts
INSERT INTO store (store_id, status, time_zone, version)
SELECT store_id, status, time_zone, version
FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[]) AS told (store_id, status, time_zone, version)
ORDER BY store_id
ON CONFLICT (store_id) DO UPDATE
SET
    status = excluded.status,
    time_zone = excluded.time_zone,
    version = excluded.version,
    updated_at = venus_now()
WHERE store.version < excluded.version;

-- name: list_stores
SELECT store_id, status, time_zone, version
FROM store
WHERE store_id = ANY($1::integer[]);

-- Locks stores in one order, before their pools: while it lasts nobody else opens a pool there.
-- name: lock_stores
WITH locked AS MATERIALIZED (
    SELECT store_id, status, time_zone, version
    FROM store
    WHERE store_id = ANY($1::integer[])
    ORDER BY store_id
    FOR UPDATE
)
SELECT store_id, status, time_zone, version, venus_now() AS locked_at
FROM locked;
