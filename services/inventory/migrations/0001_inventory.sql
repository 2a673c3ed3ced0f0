-- What lies where. Whoever changes stock locks the rows of all SKUs involved, every warehouse, in key order.
CREATE TABLE balances (
    sku text COLLATE "C" NOT NULL,
    warehouse_id text COLLATE "C" NOT NULL,
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    -- The sum of its rows in `holds`, due ones included until they are folded back.
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    -- Grows by one with every change; a SKU's rows together tell which of two readings is newer.
    version bigint NOT NULL DEFAULT 1,
    -- Up to when holds were folded: a clock that is set back can't bring a folded reservation to life again.
    folded_until timestamptz NOT NULL DEFAULT 'epoch',
    PRIMARY KEY (sku, warehouse_id),
    CHECK (reserved <= on_hand)
) WITH (fillfactor = 50);

-- One row an order, kept for good: a late call must find how its order ended.
CREATE TABLE reservations (
    order_id uuid PRIMARY KEY,
    -- HELD, COMMITTED, RELEASED or RETURNED. A row that is HELD after expires_at is EXPIRED: time alone says so, nothing is written.
    state text NOT NULL CHECK (state IN ('HELD', 'COMMITTED', 'RELEASED', 'RETURNED')),
    expires_at timestamptz,
    -- SHA-256 of the lines summed by SKU; empty for an order that was released before it was reserved.
    fingerprint bytea NOT NULL,
    -- [[sku, warehouse_id, quantity], …]
    allocations jsonb NOT NULL
) WITH (fillfactor = 80);

-- What holds stock now: the allocations of HELD reservations, each gone as soon as it is committed, released or folded back.
CREATE TABLE holds (
    sku text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    warehouse_id text COLLATE "C" NOT NULL,
    order_id uuid NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    -- Begins as a batch asks: what of these SKUs is due?
    PRIMARY KEY (sku, expires_at, warehouse_id, order_id)
);

-- As the sweeper asks: which SKUs have something due?
CREATE INDEX holds_due ON holds (expires_at);

-- Every movement of stock; the units of a SKU and warehouse sum to what is on hand.
CREATE TABLE ledger (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku text COLLATE "C" NOT NULL,
    warehouse_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('RECEIVED', 'ADJUSTED', 'TRANSFERRED', 'COMMITTED', 'RETURNED')),
    units bigint NOT NULL CHECK (units <> 0),
    reference text NOT NULL,
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX ledger_of_sku ON ledger (sku, entry_id DESC);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the stock ledger is append-only';
END
$$;

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
