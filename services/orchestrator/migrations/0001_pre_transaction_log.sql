-- The log of all sagas, who runs them, and what a person should look at.
-- Run by orchestrator_migrator, who owns them; orchestrator_service only works with them.

-- The one clock of this database: leases and due times come from it, and tests shift it with the setting venus.shift.
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

-- One process of this service. While its lease lasts, its rows are its own.
CREATE TABLE replica (
    replica_id uuid PRIMARY KEY,
    lease_until timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT venus_now()
);

CREATE TABLE transaction_log (
    id uuid PRIMARY KEY,
    transaction_type text NOT NULL,
    version smallint NOT NULL CHECK (version > 0),
    payload jsonb NOT NULL,
    status text NOT NULL CHECK (
        status IN ('PENDING', 'COMPENSATING', 'COMPLETED', 'COMPENSATED', 'FAILED', 'NEEDS_REVIEW')
    ),
    trace_id text NOT NULL CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    traceparent text NOT NULL,
    store_id integer NOT NULL CHECK (store_id > 0),
    business_date date,
    fingerprint bytea NOT NULL,
    result jsonb,
    refusal jsonb,
    steps jsonb NOT NULL DEFAULT '[]',
    retry_count integer NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    next_attempt_at timestamptz,
    owner uuid,
    epoch bigint NOT NULL DEFAULT 1 CHECK (epoch > 0),
    actor text NOT NULL,
    error_message text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    updated_at timestamptz NOT NULL DEFAULT venus_now(),
    finished_at timestamptz,
    CONSTRAINT finished_when_ended CHECK (
        (finished_at IS NOT NULL) = (status IN ('COMPLETED', 'COMPENSATED', 'FAILED'))
    ),
    CONSTRAINT refused_says_why CHECK (status NOT IN ('COMPENSATING', 'COMPENSATED', 'FAILED') OR refusal IS NOT NULL),
    CONSTRAINT completed_has_a_result_and_no_refusal CHECK (
        status <> 'COMPLETED' OR (result IS NOT NULL AND refusal IS NULL)
    ),
    CONSTRAINT parked_has_no_owner CHECK (next_attempt_at IS NULL OR owner IS NULL)
) WITH (fillfactor = 80);  -- every row is updated once or twice

-- What is due, who owns what: only open rows, so these indexes stay small however long the history is.
CREATE INDEX transaction_due ON transaction_log (next_attempt_at)
WHERE owner IS NULL AND status IN ('PENDING', 'COMPENSATING');
CREATE INDEX transaction_owned ON transaction_log (owner)
WHERE owner IS NOT NULL AND status IN ('PENDING', 'COMPENSATING');
CREATE INDEX transaction_by_trace ON transaction_log (trace_id);
CREATE INDEX transaction_by_store_and_time ON transaction_log (store_id, created_at DESC, id DESC);
CREATE INDEX transaction_by_time ON transaction_log (created_at DESC, id DESC);
CREATE INDEX transaction_open_on_date ON transaction_log (store_id, business_date)
WHERE finished_at IS NULL;

-- What a person should look at; one row per kind and subject, so that nothing is flagged twice.
CREATE TABLE review_item (
    kind text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL,
    store_id integer NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    PRIMARY KEY (kind, subject)
);
CREATE TRIGGER review_item_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON review_item
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON review_item TO orchestrator_service;
GRANT SELECT, INSERT, UPDATE (lease_until), DELETE ON replica TO orchestrator_service;
GRANT SELECT, INSERT, UPDATE (
    status, result, refusal, steps, retry_count, next_attempt_at, owner, epoch, error_message, updated_at, finished_at
) ON transaction_log TO orchestrator_service;
