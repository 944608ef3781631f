-- Accounts, entries and postings. Run by ledger_migrator, who owns them; ledger_service only works with them.

-- The one clock of this database; tests shift it with the setting venus.shift.
CREATE FUNCTION venus_now() RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$ SELECT clock_timestamp() + coalesce(nullif(current_setting('venus.shift', true), '')::interval, interval '0') $$;

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

-- A copy of what the sales service says of a store.
CREATE TABLE store (
    store_id integer PRIMARY KEY CHECK (store_id > 0),
    status text NOT NULL CHECK (status IN ('ACTIVE', 'MAINTENANCE')),
    time_zone text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    updated_at timestamptz NOT NULL DEFAULT venus_now()
);

-- One row per account, made when it is first used. Its balance changes with every posting, under its row lock.
CREATE TABLE account (
    account text PRIMARY KEY,
    store_id integer NOT NULL CHECK (store_id >= 0),  -- 0: of the whole chain
    kind text NOT NULL CHECK (
        kind IN ('TILL', 'SALES', 'CUSTOMER', 'SUPPLIER', 'PURCHASES', 'EXPENSES', 'VARIANCE', 'BANK')
    ),
    debit_paise bigint NOT NULL DEFAULT 0 CHECK (debit_paise >= 0),
    credit_paise bigint NOT NULL DEFAULT 0 CHECK (credit_paise >= 0),
    sequence bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    posted_at timestamptz NOT NULL DEFAULT venus_now(),  -- the last posting's time: it never runs back within an account
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    CONSTRAINT account_is_a_code CHECK (account ~ '^[a-z0-9][a-z0-9.-]{0,99}$')
);
CREATE INDEX account_by_store ON account (store_id, account);

-- One event, booked once. The id is the caller's; the fingerprint tells a repeat from another event under the same id.
CREATE TABLE entry (
    entry_id uuid PRIMARY KEY,
    fingerprint bytea NOT NULL,
    kind text NOT NULL CHECK (kind IN ('SALE')),
    store_id integer NOT NULL CHECK (store_id > 0),
    business_date date NOT NULL,  -- when it counts
    original_date date NOT NULL,  -- when it happened
    reference text NOT NULL,
    actor text NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    CONSTRAINT counts_no_earlier_than_it_happened CHECK (business_date >= original_date)
);

-- An amount that moved from one account to another: debits equal credits because there is no way to write it otherwise.
-- Sequence and balance are those of each account right after, so that a statement or a past balance is one index look-up.
CREATE TABLE posting (
    entry_id uuid NOT NULL REFERENCES entry,
    line smallint NOT NULL CHECK (line > 0),
    debit_account text NOT NULL REFERENCES account,
    credit_account text NOT NULL REFERENCES account,
    amount_paise bigint NOT NULL,
    business_date date NOT NULL,
    debit_sequence bigint NOT NULL,
    debit_balance_paise bigint NOT NULL,
    credit_sequence bigint NOT NULL,
    credit_balance_paise bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (entry_id, line),
    -- The largest basket that the till accepts comes to the upper bound: 100 lines of 100 t at 1,000,000.00 a kg.
    CONSTRAINT amount_is_a_sum_of_money CHECK (amount_paise BETWEEN 1 AND 1000000000000000),
    CONSTRAINT money_moves_between_two_accounts CHECK (debit_account <> credit_account)
);
CREATE UNIQUE INDEX one_debit_per_place_in_history ON posting (debit_account, debit_sequence);
CREATE UNIQUE INDEX one_credit_per_place_in_history ON posting (credit_account, credit_sequence);

-- Dates that a settlement closed; a date without a row is open.
CREATE TABLE ledger_day (
    store_id integer NOT NULL CHECK (store_id > 0),
    business_date date NOT NULL,
    status text NOT NULL CHECK (status IN ('OPEN', 'CLOSED')),
    PRIMARY KEY (store_id, business_date)
);

CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER posting_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE ON store TO ledger_service;
GRANT SELECT, INSERT, UPDATE (debit_paise, credit_paise, sequence, posted_at) ON account TO ledger_service;
GRANT SELECT, INSERT ON entry, posting TO ledger_service;
GRANT SELECT ON ledger_day TO ledger_service;
