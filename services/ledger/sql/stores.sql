-- Takes over a store's facts unless newer ones are there.
-- name: apply_store_facts
INSERT INTO store (store_id, status, time_zone, version)
VALUES ($1::integer, $2::text, $3::text, $4::bigint)
ON CONFLICT (store_id) DO UPDATE
SET
    status = excluded.status,
    time_zone = excluded.time_zone,
    version = excluded.version,
    updated_at = venus_now()
WHERE store.version < excluded.version;

-- name: get_store_version
SELECT version FROM store WHERE store_id = $1::integer;
