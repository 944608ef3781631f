-- name: read_stores
-- The stores of a batch at one moment, with the days closed around it: a store's own date is at most one off from UTC's.
SELECT
    store.store_id,
    store.status,
    store.time_zone,
    clock.now AS read_at,
    array(
        SELECT business_day.business_date
        FROM business_day
        WHERE business_day.store_id = store.store_id
            AND business_day.status = 'CLOSED'
            AND business_day.business_date
                BETWEEN (clock.now AT TIME ZONE 'UTC')::date - 1 AND (clock.now AT TIME ZONE 'UTC')::date + 1
    ) AS closed_dates
FROM store
CROSS JOIN (SELECT venus_now() AS now) AS clock
WHERE store.store_id = any($1::integer[]);

-- name: read_offers
-- What is sold where and for how much on a date: the price with the latest date that has come, the last one set for it.
SELECT
    wanted.store_id,
    sku.code AS sku_code,
    sku.name AS sku_name,
    sku.bird_type,
    sku.inventory_type,
    price.price_paise_per_kg
FROM unnest($1::integer[], $2::date[], $3::text[]) AS wanted (store_id, business_date, sku_code)
INNER JOIN sku ON sku.code = wanted.sku_code AND sku.active
CROSS JOIN LATERAL (
    SELECT store_price.price_paise_per_kg
    FROM store_price
    WHERE store_price.store_id = wanted.store_id
        AND store_price.sku_code = wanted.sku_code
        AND store_price.effective_on <= wanted.business_date
    ORDER BY store_price.effective_on DESC, store_price.revision DESC
    LIMIT 1
) AS price;
