-- The one transaction of a sale, statement by statement. The monolith runs it through asyncpg, pgbench bare.

-- What a store sells these SKUs for on its own date.
-- name: read_offers
SELECT
    store.code AS store_code,
    store.status,
    (now() AT TIME ZONE store.time_zone)::date AS business_date,
    sku.code,
    sku.name,
    sku.bird_type,
    sku.inventory_type,
    price.price_paise_per_kg
FROM store
INNER JOIN sku ON sku.code = any($2::text[]) AND sku.active
CROSS JOIN LATERAL (
    SELECT store_price.price_paise_per_kg
    FROM store_price
    WHERE store_price.store_id = store.store_id
        AND store_price.sku_code = sku.code
        AND store_price.effective_on <= (now() AT TIME ZONE store.time_zone)::date
    ORDER BY store_price.effective_on DESC
    LIMIT 1
) AS price
WHERE store.store_id = $1::integer;

-- Takes goods out of pools, in one order; a pool that has too little gives no row.
-- name: take_stock
WITH locked AS MATERIALIZED (
    SELECT pool.store_id, pool.bird_type, pool.inventory_type, wanted.weight_grams, wanted.bird_count
    FROM unnest($2::text[], $3::text[], $4::bigint[], $5::integer[])
        AS wanted (bird_type, inventory_type, weight_grams, bird_count)
    INNER JOIN pool
        ON pool.store_id = $1::integer
        AND pool.bird_type = wanted.bird_type AND pool.inventory_type = wanted.inventory_type
    ORDER BY pool.bird_type, pool.inventory_type
    FOR UPDATE OF pool
)
UPDATE pool
SET
    on_hand_grams = pool.on_hand_grams - locked.weight_grams,
    on_hand_birds = pool.on_hand_birds - locked.bird_count
FROM locked
WHERE pool.store_id = locked.store_id
    AND pool.bird_type = locked.bird_type
    AND pool.inventory_type = locked.inventory_type
    AND pool.on_hand_grams >= locked.weight_grams
    AND pool.on_hand_birds >= locked.bird_count
RETURNING pool.bird_type, pool.inventory_type;

-- name: next_receipt
INSERT INTO business_day AS day (store_id, business_date, last_receipt_number)
VALUES ($1::integer, $2::date, 1)
ON CONFLICT (store_id, business_date) DO UPDATE SET last_receipt_number = day.last_receipt_number + 1
RETURNING last_receipt_number;

-- The sale with its lines.
-- name: insert_sale
WITH recorded AS (
    INSERT INTO sale (
        store_id, sale_id, fingerprint, business_date, number, receipt_number, sale_type, payment_method, total_paise,
        cashier, correlation_id
    )
    VALUES (
        $1::integer, $2::uuid, $3::bytea, $4::date, $5::integer, $6::text, $7::text, $8::text, $9::bigint, $10::text,
        $11::text
    )
    RETURNING store_id, sale_id, created_at
),
sold AS (
    INSERT INTO sale_line (
        store_id, sale_id, line_number, sku_code, sku_name, bird_type, inventory_type, weight_grams, bird_count,
        price_paise_per_kg, total_paise
    )
    SELECT recorded.store_id, recorded.sale_id, line.*
    FROM recorded
    CROSS JOIN unnest(
        $12::smallint[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::integer[],
        $19::bigint[], $20::bigint[]
    ) AS line
)
SELECT sale_id, created_at FROM recorded;

-- The entry, and its amount from the credited account to the debited one, with both balances right after.
-- name: post_entry
WITH booked AS (
    INSERT INTO entry (entry_id, kind, store_id, business_date, reference, actor, trace_id)
    VALUES ($1::uuid, 'SALE', $2::integer, $3::date, $4::text, $5::text, $6::text)
    RETURNING entry_id
),
moved AS (
    UPDATE account
    SET
        debit_paise = debit_paise + CASE WHEN account = $7::text THEN $9::bigint ELSE 0 END,
        credit_paise = credit_paise + CASE WHEN account = $8::text THEN $9::bigint ELSE 0 END,
        sequence = sequence + 1
    WHERE account = any(ARRAY[$7::text, $8::text])
    RETURNING account, sequence, debit_paise - credit_paise AS balance_paise
)
INSERT INTO posting (
    entry_id, line, debit_account, credit_account, amount_paise, debit_sequence, debit_balance_paise, credit_sequence,
    credit_balance_paise
)
SELECT
    booked.entry_id, 1, debit.account, credit.account, $9::bigint, debit.sequence, debit.balance_paise,
    credit.sequence, credit.balance_paise
FROM booked
INNER JOIN moved AS debit ON debit.account = $7::text
INNER JOIN moved AS credit ON credit.account = $8::text
WHERE $9::bigint > 0;

-- The first answer to an id that was used before.
-- name: read_sale
SELECT fingerprint, receipt_number, business_date, total_paise, cashier, correlation_id, created_at
FROM sale
WHERE store_id = $1::integer AND sale_id = $2::uuid;

-- name: read_lines
SELECT
    sku_code, sku_name, bird_type, inventory_type, weight_grams, bird_count, price_paise_per_kg, total_paise
FROM sale_line
WHERE store_id = $1::integer AND sale_id = $2::uuid
ORDER BY line_number;
