-- Makes the accounts that are used for the first time, in the order in which they are locked.
-- name: open_accounts
INSERT INTO account (account, store_id, kind)
SELECT account, store_id, kind
FROM unnest($1::text[], $2::integer[], $3::text[]) AS wanted (account, store_id, kind)
ORDER BY account
ON CONFLICT (account) DO NOTHING;

-- Locks the accounts in one order. The time is taken once the lock is there, and never lies before the last posting's.
-- name: lock_accounts
WITH locked AS MATERIALIZED (
    SELECT account, store_id, debit_paise, credit_paise, sequence, posted_at
    FROM account
    WHERE account = ANY($1::text[])
    ORDER BY account
    FOR UPDATE
)
SELECT account, store_id, debit_paise, credit_paise, sequence, greatest(posted_at, venus_now()) AS earliest_at
FROM locked;

-- Under the lock of lock_accounts.
-- name: save_accounts
UPDATE account
SET
    debit_paise = posted.debit_paise,
    credit_paise = posted.credit_paise,
    sequence = posted.sequence,
    posted_at = $5::timestamptz
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS posted (account, debit_paise, credit_paise, sequence)
WHERE account.account = posted.account;

-- One account within a scope: $2 all stores and the chain, or the stores in $3.
-- name: get_account
SELECT account, store_id, debit_paise, credit_paise, sequence
FROM account
WHERE account = $1::text AND ($2::boolean OR (store_id > 0 AND store_id = ANY($3::integer[])));

-- name: list_accounts
SELECT account, store_id, debit_paise, credit_paise, sequence
FROM account
WHERE store_id = $1::integer
ORDER BY account;
