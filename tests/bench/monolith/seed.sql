-- Stores from $1 to $2, each with the SKUs that the tills sell and so much in each pool that no run empties it ($3).

-- name: add_stores
INSERT INTO store (store_id, code)
SELECT store_id, 'BENCH-' || store_id
FROM generate_series($1::integer, $2::integer) AS store_id;

-- name: add_skus
INSERT INTO sku (code, name, bird_type, inventory_type)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]);

-- name: add_prices
INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg)
SELECT store.store_id, listed.sku_code, date '2025-01-01', listed.price_paise_per_kg
FROM store, unnest($1::text[], $2::bigint[]) AS listed (sku_code, price_paise_per_kg);

-- name: add_pools
INSERT INTO pool (store_id, bird_type, inventory_type, opening_grams, on_hand_grams, on_hand_birds)
SELECT store.store_id, form.bird_type, form.inventory_type, $1::bigint, $1::bigint, 0
FROM store, (SELECT DISTINCT bird_type, inventory_type FROM sku) AS form;

-- name: add_accounts
INSERT INTO account (account, store_id)
SELECT format('store.%s.%s', store_id, suffix), store_id
FROM store, unnest('{sales,till.cash,till.upi,till.card,till.bank}'::text[]) AS suffix;
