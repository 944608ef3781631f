-- Stores, what they sell at which price, and their sales. Run by sales_migrator, who owns them; sales_service only
-- works with them. Keys lead with the store, so that a distributed database can split the tables by it.

-- The one clock of this database; tests shift it with the setting venus.shift.
CREATE FUNCTION venus_now() RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$ SELECT clock_timestamp() + coalesce(nullif(current_setting('venus.shift', true), '')::interval, interval '0') $$;

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed: what was written stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

-- The code is printed on every receipt, so nobody may change it.
CREATE TABLE store (
    store_id integer PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL,
    time_zone text NOT NULL DEFAULT 'Asia/Kolkata',
    status text NOT NULL DEFAULT 'ACTIVE',
    version bigint NOT NULL DEFAULT 1,  -- rises with every change; copies in other services never go back
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    updated_at timestamptz NOT NULL DEFAULT venus_now(),
    CONSTRAINT store_id_is_positive CHECK (store_id > 0),
    CONSTRAINT code_is_printable CHECK (code ~ '^[A-Z0-9][A-Z0-9-]{0,31}$'),
    CONSTRAINT store_has_a_name CHECK (name <> ''),
    CONSTRAINT time_zone_exists CHECK (timezone(time_zone, timestamptz '2000-01-01 00:00Z') IS NOT NULL),
    CONSTRAINT store_trades_or_not CHECK (status IN ('ACTIVE', 'MAINTENANCE')),
    CONSTRAINT version_is_positive CHECK (version > 0)
);

CREATE TABLE sku (
    code text PRIMARY KEY,
    name text NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    updated_at timestamptz NOT NULL DEFAULT venus_now(),
    CONSTRAINT code_is_printable CHECK (code ~ '^[A-Z0-9][A-Z0-9-]{0,31}$'),
    CONSTRAINT sku_has_a_name CHECK (name <> ''),
    CONSTRAINT bird_type_is_known CHECK (bird_type IN ('BROILER', 'PARENT_CULL')),
    CONSTRAINT inventory_type_is_known CHECK (inventory_type IN ('LIVE', 'SKIN', 'SKINLESS'))
);

-- Append-only: a later row for the same date takes the place of the earlier one, which stays as history.
CREATE TABLE store_price (
    store_id integer NOT NULL REFERENCES store,
    sku_code text NOT NULL REFERENCES sku,
    effective_on date NOT NULL,
    revision bigint GENERATED ALWAYS AS IDENTITY,
    price_paise_per_kg bigint NOT NULL,
    set_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    PRIMARY KEY (store_id, sku_code, effective_on, revision),
    CONSTRAINT price_is_within_limits CHECK (price_paise_per_kg BETWEEN 1 AND 100000000)
);

-- No row: the day is open and nothing was sold on it. The lock on a row is both the queue for the next receipt number
-- and the check that the day is open. Room on the page keeps its many updates where they are.
CREATE TABLE business_day (
    store_id integer NOT NULL REFERENCES store,
    business_date date NOT NULL,
    status text NOT NULL DEFAULT 'OPEN',
    last_receipt_number integer NOT NULL DEFAULT 0,
    PRIMARY KEY (store_id, business_date),
    CONSTRAINT day_is_open_or_closed CHECK (status IN ('OPEN', 'CLOSED')),
    CONSTRAINT series_starts_at_one CHECK (last_receipt_number >= 0)
) WITH (fillfactor = 50);

-- What becomes of an id, decided once: recorded as a sale, or closed so that it never can be. The row is written before
-- anything else, so that everyone who uses the id meets here.
CREATE TABLE sale_fate (
    store_id integer NOT NULL,
    sale_id uuid NOT NULL,
    fate text NOT NULL,
    fingerprint bytea,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    PRIMARY KEY (store_id, sale_id),
    CONSTRAINT fate_is_one_of_two CHECK (fate IN ('RECORDED', 'CLOSED')),
    CONSTRAINT recorded_keeps_its_fingerprint CHECK ((fate = 'RECORDED') = (fingerprint IS NOT NULL))
);

CREATE TABLE sale (
    store_id integer NOT NULL,
    sale_id uuid NOT NULL,
    business_date date NOT NULL,
    number integer NOT NULL,
    receipt_number text NOT NULL UNIQUE,
    sale_type text NOT NULL,
    payment_method text NOT NULL,
    customer_id uuid,
    total_paise bigint NOT NULL,
    status text NOT NULL DEFAULT 'COMPLETED',
    payment_status text NOT NULL,
    cashier text NOT NULL,
    correlation_id text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, sale_id),
    FOREIGN KEY (store_id, sale_id) REFERENCES sale_fate,
    FOREIGN KEY (store_id, business_date) REFERENCES business_day,
    CONSTRAINT one_sale_per_number UNIQUE (store_id, business_date, number),
    CONSTRAINT numbers_start_at_one CHECK (number > 0),
    CONSTRAINT sale_type_is_known CHECK (sale_type IN ('POS', 'BULK')),
    CONSTRAINT payment_method_is_known CHECK (payment_method IN ('CASH', 'UPI', 'CARD', 'BANK', 'CREDIT')),
    CONSTRAINT credit_has_a_customer CHECK (payment_method <> 'CREDIT' OR customer_id IS NOT NULL),
    CONSTRAINT total_is_within_limits CHECK (total_paise BETWEEN 0 AND 1000000000000000),
    CONSTRAINT status_is_known CHECK (status IN ('COMPLETED', 'VOIDED')),
    CONSTRAINT payment_status_is_known CHECK (payment_status IN ('PENDING', 'PARTIAL', 'PAID')),
    CONSTRAINT only_credit_is_paid_later CHECK (payment_method = 'CREDIT' OR payment_status = 'PAID'),
    CONSTRAINT sale_has_a_cashier CHECK (cashier <> ''),
    CONSTRAINT correlation_id_is_a_trace_id CHECK (correlation_id ~ '^[0-9a-f]{32}$')
);

CREATE TABLE sale_line (
    store_id integer NOT NULL,
    sale_id uuid NOT NULL,
    line_number smallint NOT NULL,
    sku_code text NOT NULL,
    sku_name text NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    weight_grams bigint NOT NULL,
    bird_count integer NOT NULL,
    price_paise_per_kg bigint NOT NULL,
    total_paise bigint NOT NULL,
    PRIMARY KEY (store_id, sale_id, line_number),
    FOREIGN KEY (store_id, sale_id) REFERENCES sale,
    CONSTRAINT lines_are_counted_from_one CHECK (line_number > 0),
    CONSTRAINT bird_type_is_known CHECK (bird_type IN ('BROILER', 'PARENT_CULL')),
    CONSTRAINT inventory_type_is_known CHECK (inventory_type IN ('LIVE', 'SKIN', 'SKINLESS')),
    CONSTRAINT weight_is_within_limits CHECK (weight_grams BETWEEN 1 AND 100000000),
    CONSTRAINT price_is_within_limits CHECK (price_paise_per_kg BETWEEN 1 AND 100000000),
    CONSTRAINT birds_are_counted_when_live CHECK (bird_count >= 0 AND (bird_count > 0) = (inventory_type = 'LIVE')),
    -- Halves away from zero; nothing here is negative, and integer division cuts off.
    CONSTRAINT total_is_weight_times_price_rounded
        CHECK (total_paise = (weight_grams * price_paise_per_kg + 500) / 1000)
);

CREATE TRIGGER store_price_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store_price
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER sale_stays BEFORE DELETE OR TRUNCATE ON sale
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER sale_changes_only_its_status BEFORE UPDATE OF
    store_id, sale_id, business_date, number, receipt_number, sale_type, payment_method, customer_id, total_paise,
    cashier, correlation_id, created_at
ON sale FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER sale_line_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON sale_line
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- A fate is never changed. Only the row of a sale that was refused is taken out again, by the transaction that wrote it;
-- the foreign key keeps the row of a recorded sale, this trigger a tombstone.
CREATE TRIGGER sale_fate_is_final BEFORE UPDATE OR TRUNCATE ON sale_fate
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tombstone_stays BEFORE DELETE ON sale_fate
FOR EACH ROW WHEN (old.fate = 'CLOSED') EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE (name, time_zone, status, version, updated_at) ON store TO sales_service;
GRANT SELECT, INSERT, UPDATE (name, bird_type, inventory_type, active, updated_at) ON sku TO sales_service;
GRANT SELECT, INSERT ON store_price TO sales_service;
GRANT SELECT, INSERT, UPDATE (status, last_receipt_number) ON business_day TO sales_service;
GRANT SELECT, INSERT, DELETE ON sale_fate TO sales_service;
GRANT SELECT, INSERT, UPDATE (status, payment_status) ON sale TO sales_service;
GRANT SELECT, INSERT ON sale_line TO sales_service;
