-- The same trade in one database: no holds, no saga log, no movements beside the lines of the sales. What is written
-- all the time gets the free room on its pages that the services' tables have.

CREATE TABLE store (
    store_id integer PRIMARY KEY,
    code text NOT NULL UNIQUE,
    time_zone text NOT NULL DEFAULT 'Asia/Kolkata',
    status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'MAINTENANCE'))
);

CREATE TABLE sku (
    code text PRIMARY KEY,
    name text NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    active boolean NOT NULL DEFAULT true
);

CREATE TABLE store_price (
    store_id integer NOT NULL REFERENCES store,
    sku_code text NOT NULL REFERENCES sku,
    effective_on date NOT NULL,
    price_paise_per_kg bigint NOT NULL CHECK (price_paise_per_kg > 0),
    PRIMARY KEY (store_id, sku_code, effective_on)
);

CREATE TABLE pool (
    store_id integer NOT NULL REFERENCES store,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    opening_grams bigint NOT NULL,
    on_hand_grams bigint NOT NULL,
    on_hand_birds integer NOT NULL,
    PRIMARY KEY (store_id, bird_type, inventory_type),
    CONSTRAINT on_hand_is_never_negative CHECK (on_hand_grams >= 0 AND on_hand_birds >= 0)
) WITH (
    fillfactor = 25,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

CREATE TABLE business_day (
    store_id integer NOT NULL REFERENCES store,
    business_date date NOT NULL,
    last_receipt_number integer NOT NULL,
    PRIMARY KEY (store_id, business_date)
) WITH (fillfactor = 50);

CREATE TABLE sale (
    store_id integer NOT NULL,
    sale_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    business_date date NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    receipt_number text NOT NULL UNIQUE,
    sale_type text NOT NULL,
    payment_method text NOT NULL,
    total_paise bigint NOT NULL CHECK (total_paise >= 0),
    cashier text NOT NULL CHECK (cashier <> ''),
    correlation_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (store_id, sale_id),
    FOREIGN KEY (store_id, business_date) REFERENCES business_day,
    UNIQUE (store_id, business_date, number)
);

CREATE TABLE sale_line (
    store_id integer NOT NULL,
    sale_id uuid NOT NULL,
    line_number smallint NOT NULL CHECK (line_number > 0),
    sku_code text NOT NULL,
    sku_name text NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    weight_grams bigint NOT NULL CHECK (weight_grams > 0),
    bird_count integer NOT NULL CHECK (bird_count >= 0),
    price_paise_per_kg bigint NOT NULL,
    total_paise bigint NOT NULL,
    PRIMARY KEY (store_id, sale_id, line_number),
    FOREIGN KEY (store_id, sale_id) REFERENCES sale,
    CHECK (total_paise = (weight_grams * price_paise_per_kg + 500) / 1000)
);

CREATE TABLE account (
    account text PRIMARY KEY,
    store_id integer NOT NULL,
    debit_paise bigint NOT NULL DEFAULT 0,
    credit_paise bigint NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0
);

CREATE TABLE entry (
    entry_id uuid PRIMARY KEY,
    kind text NOT NULL,
    store_id integer NOT NULL,
    business_date date NOT NULL,
    reference text NOT NULL,
    actor text NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE posting (
    entry_id uuid NOT NULL REFERENCES entry,
    line smallint NOT NULL,
    debit_account text NOT NULL REFERENCES account,
    credit_account text NOT NULL REFERENCES account,
    amount_paise bigint NOT NULL CHECK (amount_paise > 0),
    debit_sequence bigint NOT NULL,
    debit_balance_paise bigint NOT NULL,
    credit_sequence bigint NOT NULL,
    credit_balance_paise bigint NOT NULL,
    PRIMARY KEY (entry_id, line)
);
CREATE UNIQUE INDEX one_debit_per_place_in_history ON posting (debit_account, debit_sequence);
CREATE UNIQUE INDEX one_credit_per_place_in_history ON posting (credit_account, credit_sequence);
