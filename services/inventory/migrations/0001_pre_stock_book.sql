-- The stock book. Run by inventory_migrator, who owns it; inventory_service only works with it. Keys lead with the
-- store, so that a distributed database can split the tables by it.

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

-- A copy; the sales service owns these facts.
CREATE TABLE store (
    store_id integer PRIMARY KEY,
    status text NOT NULL,
    time_zone text NOT NULL,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT venus_now(),
    CONSTRAINT store_id_is_positive CHECK (store_id > 0),
    CONSTRAINT store_trades_or_not CHECK (status IN ('ACTIVE', 'MAINTENANCE')),
    CONSTRAINT version_is_positive CHECK (version > 0)
);

-- Few rows, each changed by every sale that touches it: free room on the page keeps the changes in place, and vacuum
-- comes early, so that a hot row stays one page away for ever.
CREATE TABLE pool (
    store_id integer NOT NULL REFERENCES store,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    on_hand_grams bigint NOT NULL DEFAULT 0,
    held_grams bigint NOT NULL DEFAULT 0,
    on_hand_birds integer NOT NULL DEFAULT 0,
    held_birds integer NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    last_moved_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, bird_type, inventory_type),
    CONSTRAINT bird_is_known CHECK (bird_type IN ('BROILER', 'PARENT_CULL')),
    CONSTRAINT form_is_known CHECK (inventory_type IN ('LIVE', 'SKIN', 'SKINLESS')),
    CONSTRAINT held_is_never_negative CHECK (held_grams >= 0 AND held_birds >= 0),
    CONSTRAINT held_within_on_hand CHECK (held_grams <= on_hand_grams AND held_birds <= on_hand_birds),
    CONSTRAINT birds_only_on_live CHECK (inventory_type = 'LIVE' OR (on_hand_birds = 0 AND held_birds = 0)),
    CONSTRAINT sequence_counts_up_from_zero CHECK (sequence >= 0)
) WITH (
    fillfactor = 25,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

-- Every change of a pool, for ever. The key is the proof that numbers are neither used twice nor, with the pool's own
-- sequence beside it, left out.
CREATE TABLE movement (
    store_id integer NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    sequence bigint NOT NULL,
    weight_grams bigint NOT NULL,
    bird_count integer NOT NULL,
    on_hand_grams bigint NOT NULL,  -- right after
    on_hand_birds integer NOT NULL,
    reason text NOT NULL,
    reference text NOT NULL,
    business_date date NOT NULL,  -- in the store's time zone
    actor text NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL,  -- taken under the pool's lock, never before the last one's
    PRIMARY KEY (store_id, bird_type, inventory_type, sequence),
    FOREIGN KEY (store_id, bird_type, inventory_type) REFERENCES pool,
    CONSTRAINT sequence_starts_at_one CHECK (sequence >= 1),
    CONSTRAINT movement_moves CHECK (weight_grams <> 0 OR bird_count <> 0),
    CONSTRAINT balance_is_never_negative CHECK (on_hand_grams >= 0 AND on_hand_birds >= 0),
    CONSTRAINT birds_only_on_live CHECK (inventory_type = 'LIVE' OR (bird_count = 0 AND on_hand_birds = 0)),
    CONSTRAINT movement_has_a_reference CHECK (reference <> ''),
    CONSTRAINT reason_gives_the_direction CHECK (
        CASE
            WHEN reason = 'ADJUSTMENT' THEN true
            WHEN reason IN (
                'PURCHASE_RECEIVED', 'PROCESSING_IN', 'SALE_REVERSAL', 'TRANSFER_IN', 'OPENING_BALANCE',
                'VARIANCE_FOUND', 'OVERSALE_CORRECTION'
            ) THEN weight_grams >= 0 AND bird_count >= 0
            WHEN reason IN (
                'PROCESSING_OUT', 'WASTAGE', 'SALE', 'TRANSFER_OUT', 'TRANSFER_SHRINK', 'VARIANCE_LOSS'
            ) THEN weight_grams <= 0 AND bird_count <= 0
            ELSE false
        END
    )
);

CREATE TRIGGER movement_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movement
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A hold on stock, or the tombstone of one that was given back before it came: that has no fingerprint.
CREATE TABLE reservation (
    store_id integer NOT NULL,
    reservation_id uuid NOT NULL,
    state text NOT NULL,
    fingerprint bytea,
    hold_until timestamptz,
    holder text NOT NULL,  -- the service that made it
    business_date date,
    actor text NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    ended_at timestamptz,
    PRIMARY KEY (store_id, reservation_id),
    CONSTRAINT state_is_known CHECK (state IN ('HELD', 'EXPIRED', 'COMMITTED', 'RELEASED')),
    CONSTRAINT only_a_tombstone_lacks_content CHECK (
        (fingerprint IS NULL) = (hold_until IS NULL) AND (fingerprint IS NOT NULL OR state = 'RELEASED')
    ),
    CONSTRAINT an_end_has_its_time CHECK ((state IN ('COMMITTED', 'RELEASED')) = (ended_at IS NOT NULL)),
    CONSTRAINT a_commit_has_its_date CHECK ((state = 'COMMITTED') = (business_date IS NOT NULL))
);

-- Finds holds that ran out; small, as only open holds stand in it.
CREATE INDEX open_hold ON reservation (store_id, hold_until) WHERE state = 'HELD';

CREATE TABLE reservation_line (
    store_id integer NOT NULL,
    reservation_id uuid NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    weight_grams bigint NOT NULL,
    bird_count integer NOT NULL,
    PRIMARY KEY (store_id, reservation_id, bird_type, inventory_type),
    FOREIGN KEY (store_id, reservation_id) REFERENCES reservation,
    CONSTRAINT bird_is_known CHECK (bird_type IN ('BROILER', 'PARENT_CULL')),
    CONSTRAINT form_is_known CHECK (inventory_type IN ('LIVE', 'SKIN', 'SKINLESS')),
    CONSTRAINT weight_is_positive CHECK (weight_grams > 0),
    CONSTRAINT birds_on_live_and_only_there CHECK ((inventory_type = 'LIVE') = (bird_count > 0) AND bird_count >= 0)
);

CREATE TRIGGER line_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reservation_line
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What a pool lacked when a hold that had run out was committed all the same. The answer of that commit, and for people
-- to look into.
CREATE TABLE oversale (
    store_id integer NOT NULL,
    reservation_id uuid NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    sequence bigint NOT NULL,  -- of the OVERSALE_CORRECTION
    weight_grams bigint NOT NULL,
    bird_count integer NOT NULL,
    PRIMARY KEY (store_id, reservation_id, bird_type, inventory_type),
    FOREIGN KEY (store_id, reservation_id) REFERENCES reservation,
    FOREIGN KEY (store_id, bird_type, inventory_type, sequence) REFERENCES movement,
    CONSTRAINT something_was_lacking CHECK (
        weight_grams >= 0 AND bird_count >= 0 AND (weight_grams > 0 OR bird_count > 0)
    )
);

CREATE TRIGGER oversale_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON oversale
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One correction by a person: its id is the barrier, the pool right after is its first answer.
CREATE TABLE adjustment (
    store_id integer NOT NULL,
    adjustment_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    reason text NOT NULL,
    note text NOT NULL,
    actor text NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    weight_grams bigint NOT NULL DEFAULT 0,
    bird_count integer NOT NULL DEFAULT 0,
    on_hand_grams bigint NOT NULL DEFAULT 0,
    held_grams bigint NOT NULL DEFAULT 0,
    on_hand_birds integer NOT NULL DEFAULT 0,
    held_birds integer NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (store_id, adjustment_id),
    CONSTRAINT reason_is_of_a_person CHECK (reason IN ('ADJUSTMENT', 'WASTAGE'))
);

CREATE TABLE opening (
    store_id integer NOT NULL,
    opening_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    actor text NOT NULL,
    trace_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT venus_now(),
    PRIMARY KEY (store_id, opening_id)
);

CREATE TABLE opening_line (
    store_id integer NOT NULL,
    opening_id uuid NOT NULL,
    bird_type text NOT NULL,
    inventory_type text NOT NULL,
    weight_grams bigint NOT NULL,
    bird_count integer NOT NULL,
    PRIMARY KEY (store_id, opening_id, bird_type, inventory_type),
    FOREIGN KEY (store_id, opening_id) REFERENCES opening,
    FOREIGN KEY (store_id, bird_type, inventory_type) REFERENCES pool,
    CONSTRAINT a_pool_opens_once UNIQUE (store_id, bird_type, inventory_type),
    CONSTRAINT opening_is_never_negative CHECK (weight_grams >= 0 AND bird_count >= 0)
);

CREATE TRIGGER opening_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON opening_line
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE ON store TO inventory_service;
GRANT SELECT, INSERT ON pool, movement, reservation, reservation_line, oversale TO inventory_service;
GRANT SELECT, INSERT ON adjustment, opening, opening_line TO inventory_service;
GRANT UPDATE (on_hand_grams, held_grams, on_hand_birds, held_birds, sequence, last_moved_at)
ON pool TO inventory_service;
GRANT UPDATE (state, hold_until, business_date, ended_at) ON reservation TO inventory_service;
GRANT UPDATE (weight_grams, bird_count, on_hand_grams, held_grams, on_hand_birds, held_birds, sequence)
ON adjustment TO inventory_service;
-- Takes back the row of what was refused, in the transaction that wrote it.
GRANT DELETE ON reservation, adjustment, opening TO inventory_service;
