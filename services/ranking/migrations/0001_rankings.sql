-- Which version of the ranking is live, and which one, if any, is being built beside it.
CREATE TABLE generation (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    live bigint NOT NULL,
    building bigint,
    building_since timestamptz,
    -- Numbers aren't used twice: Redis may remember boards of a version that was given up.
    newest bigint NOT NULL
);
INSERT INTO generation (live, newest) VALUES (1, 1);

-- A root category's last position; its row is the lock under which lines get theirs, so that positions have no gaps.
CREATE TABLE roots (
    generation bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, root)
) WITH (fillfactor = 70);

-- Every counted order line, once: the truth that everything else is derived from.
CREATE TABLE lines (
    generation bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    order_id uuid NOT NULL,
    line_number int NOT NULL,
    -- +1 placed, -1 taken back.
    sign smallint NOT NULL,
    category_id text COLLATE "C" NOT NULL,
    product_id text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL,
    currency text NOT NULL,
    net_amount bigint NOT NULL,
    -- Hours since 1970 of the order's placing, for lines taken back as well.
    hour int NOT NULL,
    PRIMARY KEY (generation, root, position)
) PARTITION BY LIST (generation);
CREATE TABLE lines_1 PARTITION OF lines FOR VALUES IN (1);
CREATE UNIQUE INDEX lines_once ON lines (generation, order_id, line_number, sign);
CREATE INDEX lines_by_hour ON lines (generation, root, hour);

-- Lines up to `position`, added up by hour.
CREATE TABLE rolled (
    generation bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (generation, root)
) WITH (fillfactor = 70);

CREATE TABLE hours (
    generation bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    category_id text COLLATE "C" NOT NULL,
    product_id text COLLATE "C" NOT NULL,
    currency text NOT NULL,
    hour int NOT NULL,
    orders bigint NOT NULL,
    units bigint NOT NULL,
    revenue bigint NOT NULL,
    PRIMARY KEY (generation, root, hour, category_id, product_id, currency)
);

-- The same over all time.
CREATE TABLE totals (
    generation bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    category_id text COLLATE "C" NOT NULL,
    product_id text COLLATE "C" NOT NULL,
    currency text NOT NULL,
    orders bigint NOT NULL,
    units bigint NOT NULL,
    revenue bigint NOT NULL,
    PRIMARY KEY (generation, root, category_id, product_id, currency)
);
