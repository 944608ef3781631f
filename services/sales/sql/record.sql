-- name: insert_fates
-- Take ids in one order, or twins deadlock; returns those that nobody had taken. Waits for a twin that is under way.
INSERT INTO sale_fate (store_id, sale_id, fate, fingerprint)
SELECT wanted.store_id, wanted.sale_id, $4::text, wanted.fingerprint
FROM unnest($1::integer[], $2::uuid[], $3::bytea[]) AS wanted (store_id, sale_id, fingerprint)
ORDER BY wanted.store_id, wanted.sale_id
ON CONFLICT (store_id, sale_id) DO NOTHING
RETURNING store_id, sale_id;

-- name: read_fates
-- What became of ids, with the first answer of those that were recorded.
SELECT
    sale_fate.store_id,
    sale_fate.sale_id,
    sale_fate.fate,
    sale_fate.fingerprint,
    sale.receipt_number,
    sale.created_at
FROM unnest($1::integer[], $2::uuid[]) AS wanted (store_id, sale_id)
INNER JOIN sale_fate USING (store_id, sale_id)
LEFT JOIN sale USING (store_id, sale_id);

-- name: delete_fates
-- Give back the ids of sales that this transaction refused.
DELETE FROM sale_fate
USING unnest($1::integer[], $2::uuid[]) AS refused (store_id, sale_id)
WHERE sale_fate.store_id = refused.store_id AND sale_fate.sale_id = refused.sale_id;

-- name: lock_series
-- Lock days in one order, opening those that have no row; a day of an unknown store stays away. Opening and locking are
-- one statement, so that there is one order for both; the update changes nothing, it locks.
WITH locked AS (
    INSERT INTO business_day (store_id, business_date)
    SELECT wanted.store_id, wanted.business_date
    FROM unnest($1::integer[], $2::date[]) AS wanted (store_id, business_date)
    INNER JOIN store USING (store_id)
    ORDER BY wanted.store_id, wanted.business_date
    ON CONFLICT (store_id, business_date) DO UPDATE SET last_receipt_number = business_day.last_receipt_number
    RETURNING store_id, business_date, status, last_receipt_number, venus_now() AS locked_at
)
SELECT locked.store_id, locked.business_date, locked.status, locked.last_receipt_number, locked.locked_at, store.code
FROM locked
INNER JOIN store USING (store_id);

-- name: advance_series
UPDATE business_day
SET last_receipt_number = given.last_number
FROM unnest($1::integer[], $2::date[], $3::integer[]) AS given (store_id, business_date, last_number)
WHERE business_day.store_id = given.store_id AND business_day.business_date = given.business_date;

-- name: insert_sales
INSERT INTO sale (
    store_id, sale_id, business_date, number, receipt_number, sale_type, payment_method, customer_id, total_paise,
    payment_status, cashier, correlation_id, created_at
)
SELECT recorded.*
FROM unnest(
    $1::integer[], $2::uuid[], $3::date[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::bigint[],
    $10::text[], $11::text[], $12::text[], $13::timestamptz[]
) AS recorded;

-- name: insert_lines
INSERT INTO sale_line (
    store_id, sale_id, line_number, sku_code, sku_name, bird_type, inventory_type, weight_grams, bird_count,
    price_paise_per_kg, total_paise
)
SELECT sold.*
FROM unnest(
    $1::integer[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
    $9::integer[], $10::bigint[], $11::bigint[]
) AS sold;
