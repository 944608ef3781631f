-- name: read_sale
SELECT
    store_id, sale_id, business_date, number, receipt_number, sale_type, payment_method, customer_id, total_paise,
    status, payment_status, cashier, correlation_id, created_at
FROM sale
WHERE store_id = $1::integer AND sale_id = $2::uuid;

-- name: list_sales
-- A page of a store's sales, newest first, after the sale with date $6 and number $7. A day's numbers are given and
-- committed in one order, so a sale that is recorded meanwhile is never put between rows that were read already.
SELECT
    store_id, sale_id, business_date, number, receipt_number, sale_type, payment_method, customer_id, total_paise,
    status, payment_status, cashier, correlation_id, created_at
FROM sale
WHERE store_id = $1::integer
    AND business_date BETWEEN $2::date AND $3::date
    AND ($4::text IS NULL OR status = $4::text)
    AND ($5::text IS NULL OR payment_method = $5::text)
    AND (business_date, number) < ($6::date, $7::integer)
ORDER BY business_date DESC, number DESC
LIMIT $8::integer;

-- name: read_lines
-- The lines of many sales of one store, in the order of their requests.
SELECT
    sale_id, sku_code, sku_name, bird_type, inventory_type, weight_grams, bird_count, price_paise_per_kg, total_paise
FROM sale_line
WHERE store_id = $1::integer AND sale_id = any($2::uuid[])
ORDER BY sale_id, line_number;
