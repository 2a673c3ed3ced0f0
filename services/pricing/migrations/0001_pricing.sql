-- List prices. The row with a SKU's lowest id is the currency that it was priced in first.
CREATE TABLE prices (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    sku         text        NOT NULL COLLATE "C",
    currency    text        NOT NULL COLLATE "C",
    minor_units bigint      NOT NULL CHECK (minor_units >= 0),
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (sku, currency)
);

-- '*' stands for every country, state or class that has no row of its own.
CREATE TABLE tax_rates (
    country      text    NOT NULL,
    state        text    NOT NULL,
    tax_class    text    NOT NULL,
    basis_points integer NOT NULL CHECK (basis_points BETWEEN 0 AND 10000),
    PRIMARY KEY (country, state, tax_class)
);

-- Minor units of the currency; XXX (ISO 4217: no currency) stands for every currency without a row of its own.
CREATE TABLE shipping_rates (
    country      text   NOT NULL,
    currency     text   NOT NULL,
    base         bigint NOT NULL CHECK (base >= 0),
    per_kilogram bigint NOT NULL CHECK (per_kilogram >= 0),
    free_from    bigint NOT NULL CHECK (free_from >= 0),
    PRIMARY KEY (country, currency)
);
