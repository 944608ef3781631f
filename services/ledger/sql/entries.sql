-- Dates closed at or after a date, for each of some stores.
-- name: list_closed_days
SELECT day.store_id, day.business_date
FROM unnest($1::integer[], $2::date[]) AS wanted (store_id, from_date)
JOIN ledger_day AS day ON day.store_id = wanted.store_id AND day.business_date >= wanted.from_date
WHERE day.status = 'CLOSED';

-- Takes the ids in one order, so that two batches with the same ids never wait for each other in a circle.
-- A row that comes back is new; a missing one was booked before, perhaps a moment ago by a twin.
-- name: insert_entries
INSERT INTO entry (
    entry_id, fingerprint, kind, store_id, business_date, original_date, reference, actor, trace_id
)
SELECT entry_id, fingerprint, kind, store_id, business_date, original_date, reference, actor, trace_id
FROM unnest(
    $1::uuid[], $2::bytea[], $3::text[], $4::integer[], $5::date[], $6::date[], $7::text[], $8::text[], $9::text[]
) AS wanted (entry_id, fingerprint, kind, store_id, business_date, original_date, reference, actor, trace_id)
ORDER BY entry_id
ON CONFLICT (entry_id) DO NOTHING
RETURNING entry_id, created_at;

-- name: insert_postings
INSERT INTO posting (
    entry_id, line, debit_account, credit_account, amount_paise, business_date,
    debit_sequence, debit_balance_paise, credit_sequence, credit_balance_paise, created_at
)
SELECT placed.*, $11::timestamptz
FROM unnest(
    $1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::bigint[], $6::date[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]
) AS placed;

-- Entries by id with their postings; of one store when $2 names it.
-- name: read_entries
SELECT
    entry.entry_id, entry.fingerprint, entry.kind, entry.store_id, entry.business_date, entry.original_date,
    entry.reference, entry.trace_id, entry.created_at, posted.debit_accounts, posted.credit_accounts,
    posted.amounts_paise
FROM entry
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(posting.debit_account ORDER BY posting.line), '{}') AS debit_accounts,
        coalesce(array_agg(posting.credit_account ORDER BY posting.line), '{}') AS credit_accounts,
        coalesce(array_agg(posting.amount_paise ORDER BY posting.line), '{}') AS amounts_paise
    FROM posting
    WHERE posting.entry_id = entry.entry_id
) AS posted
WHERE entry.entry_id = ANY($1::uuid[]) AND ($2::integer IS NULL OR entry.store_id = $2::integer);
