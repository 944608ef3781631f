-- Begins sagas, sorted by id so that two batches with the same ids never wait for each other in a circle.
-- An id that was there stays as it is and does not come back.
-- name: insert_transactions
INSERT INTO transaction_log (
    id, transaction_type, version, payload, status, trace_id, traceparent, store_id, business_date, fingerprint,
    refusal, steps, owner, actor, finished_at
)
SELECT
    id, transaction_type, version, payload::jsonb, status, trace_id, traceparent, store_id, business_date, fingerprint,
    refusal::jsonb, steps::jsonb, CASE WHEN status = 'PENDING' THEN $14::uuid END, actor,
    CASE WHEN status = 'FAILED' THEN venus_now() END
FROM unnest(
    $1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
    $9::date[], $10::bytea[], $11::text[], $12::text[], $13::text[]
) AS begun (
    id, transaction_type, version, payload, status, trace_id, traceparent, store_id, business_date, fingerprint,
    refusal, steps, actor
)
ORDER BY id
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: find_transactions
SELECT log.*, extract(epoch FROM venus_now() - log.created_at)::float8 AS age_s
FROM transaction_log AS log
WHERE log.id = ANY($1::uuid[]);

-- Locks the rows that are still the writer's, in one order; the update that follows hits exactly these.
-- name: lock_owned
SELECT log.id
FROM transaction_log AS log
JOIN unnest($1::uuid[], $2::bigint[]) AS held (id, epoch) ON held.id = log.id AND held.epoch = log.epoch
WHERE log.finished_at IS NULL
ORDER BY log.id
FOR UPDATE OF log;

-- name: mark_compensating
UPDATE transaction_log AS log
SET status = 'COMPENSATING', refusal = marked.refusal::jsonb, updated_at = venus_now()
FROM unnest($1::uuid[], $2::text[]) AS marked (id, refusal)
WHERE log.id = marked.id;

-- Puts sagas aside: nobody owns them until they are due.
-- name: park_transactions
UPDATE transaction_log AS log
SET
    result = parked.result::jsonb,
    steps = parked.steps::jsonb,
    retry_count = parked.retry_count,
    error_message = parked.error_message,
    owner = NULL,
    next_attempt_at = venus_now() + make_interval(secs => parked.delay_s),
    updated_at = venus_now()
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::float8[])
    AS parked (id, result, steps, retry_count, error_message, delay_s)
WHERE log.id = parked.id;

-- Ends sagas, or puts them before a person.
-- name: end_transactions
UPDATE transaction_log AS log
SET
    status = ended.status,
    result = ended.result::jsonb,
    refusal = ended.refusal::jsonb,
    steps = ended.steps::jsonb,
    retry_count = ended.retry_count,
    error_message = ended.error_message,
    owner = NULL,
    next_attempt_at = NULL,
    updated_at = venus_now(),
    finished_at = CASE WHEN ended.status <> 'NEEDS_REVIEW' THEN venus_now() END
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[])
    AS ended (id, status, result, refusal, steps, retry_count, error_message)
WHERE log.id = ended.id;

-- Takes what was put aside and is due. Claiming is the only way to run a saga that was begun; the epoch fences the
-- owner before.
-- name: claim_due
WITH due AS (
    SELECT id FROM transaction_log
    WHERE owner IS NULL AND status IN ('PENDING', 'COMPENSATING') AND next_attempt_at <= venus_now()
    ORDER BY next_attempt_at
    LIMIT $2::integer
    FOR UPDATE SKIP LOCKED
)
UPDATE transaction_log AS log
SET owner = $1::uuid, epoch = log.epoch + 1, next_attempt_at = NULL, updated_at = venus_now()
FROM due
WHERE log.id = due.id
RETURNING log.*, extract(epoch FROM venus_now() - log.created_at)::float8 AS age_s;

-- Takes what dead replicas own, and what this replica owns without running it ($2: what it runs).
-- name: claim_orphans
WITH orphan AS (
    SELECT log.id FROM transaction_log AS log
    LEFT JOIN replica ON replica.replica_id = log.owner
    WHERE log.owner IS NOT NULL AND log.status IN ('PENDING', 'COMPENSATING')
        AND CASE
            WHEN log.owner = $1::uuid THEN log.id <> ALL($2::uuid[])
            ELSE replica.lease_until IS NULL OR replica.lease_until <= venus_now()
        END
    LIMIT $3::integer
    FOR UPDATE OF log SKIP LOCKED
)
UPDATE transaction_log AS log
SET owner = $1::uuid, epoch = log.epoch + 1, updated_at = venus_now()
FROM orphan
WHERE log.id = orphan.id
RETURNING log.*, extract(epoch FROM venus_now() - log.created_at)::float8 AS age_s;

-- One saga within a scope: $2 all stores, or those in $3.
-- name: get_transaction
SELECT log.*, extract(epoch FROM venus_now() - log.created_at)::float8 AS age_s
FROM transaction_log AS log
WHERE log.id = $1::uuid AND ($2::boolean OR log.store_id = ANY($3::integer[]));

-- A page, newest first, within a scope and filters; $8, $9: the last row of the page before.
-- name: list_transactions
SELECT log.*, extract(epoch FROM venus_now() - log.created_at)::float8 AS age_s
FROM transaction_log AS log
WHERE ($1::boolean OR log.store_id = ANY($2::integer[]))
    AND ($3::text IS NULL OR log.status = $3::text)
    AND ($4::integer IS NULL OR log.store_id = $4::integer)
    AND ($5::timestamptz IS NULL OR log.created_at >= $5::timestamptz)
    AND ($6::timestamptz IS NULL OR log.created_at < $6::timestamptz)
    AND ($7::text IS NULL OR log.trace_id = $7::text)
    AND ($8::timestamptz IS NULL OR (log.created_at, log.id) < ($8::timestamptz, $9::uuid))
ORDER BY log.created_at DESC, log.id DESC
LIMIT $10::integer;

-- name: flag_review_items
INSERT INTO review_item (kind, subject, details, store_id, trace_id)
SELECT kind, subject, details::jsonb, store_id, trace_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[])
    AS flagged (kind, subject, details, store_id, trace_id)
ORDER BY kind, subject
ON CONFLICT (kind, subject) DO NOTHING;
