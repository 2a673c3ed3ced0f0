-- One payment an order. An order that was voided before it had one keeps a row all the same, so that it can't get one afterwards.
CREATE TABLE payments (
    order_id uuid PRIMARY KEY,
    payment_id uuid NOT NULL UNIQUE,
    -- Empty, as is the currency, where there was nothing to void.
    method text NOT NULL,
    state text NOT NULL,
    currency text NOT NULL,
    minor_units bigint NOT NULL CHECK (minor_units >= 0),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);
