-- What the demo chain is and sells. May be run again: what is there stays as people have changed it.

INSERT INTO store (store_id, code, name, time_zone)
VALUES
    (1, 'STORE-001', 'Market Road', 'Asia/Kolkata'),
    (2, 'STORE-002', 'Station Square', 'Asia/Kolkata'),
    (3, 'STORE-003', 'Lake View', 'Asia/Kolkata'),
    (4, 'STORE-004', 'Hill Street', 'Asia/Kolkata'),
    (5, 'STORE-005', 'Harbour Gate', 'Asia/Kolkata')
ON CONFLICT DO NOTHING;

INSERT INTO sku (code, name, bird_type, inventory_type)
VALUES
    ('BRO-LIVE', 'Broiler, live', 'BROILER', 'LIVE'),
    ('BRO-SKIN', 'Broiler with skin', 'BROILER', 'SKIN'),
    ('BRO-SKINLESS', 'Broiler without skin', 'BROILER', 'SKINLESS'),
    ('PC-LIVE', 'Parent cull, live', 'PARENT_CULL', 'LIVE'),
    ('PC-SKIN', 'Parent cull with skin', 'PARENT_CULL', 'SKIN'),
    ('PC-SKINLESS', 'Parent cull without skin', 'PARENT_CULL', 'SKINLESS'),
    ('CW-001', 'Chicken wings', 'BROILER', 'SKIN')
ON CONFLICT DO NOTHING;

INSERT INTO store_price (store_id, sku_code, effective_on, price_paise_per_kg, set_by)
SELECT store.store_id, list.sku_code, date '2025-01-01', list.price_paise_per_kg, 'demo'
FROM store
CROSS JOIN (
    VALUES
        ('BRO-LIVE', 12000),
        ('BRO-SKIN', 18000),
        ('BRO-SKINLESS', 22000),
        ('PC-LIVE', 9000),
        ('PC-SKIN', 14000),
        ('PC-SKINLESS', 17000),
        ('CW-001', 16000)
) AS list (sku_code, price_paise_per_kg)
WHERE store.store_id BETWEEN 1 AND 5
    AND NOT EXISTS (
        SELECT FROM store_price
        WHERE store_price.store_id = store.store_id AND store_price.sku_code = list.sku_code
    );
