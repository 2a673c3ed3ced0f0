-- Orders, keyed by (user_bucket, order_id) from the first day: tables split by user without being rewritten.
CREATE TABLE orders (
    user_bucket smallint NOT NULL,
    order_id uuid NOT NULL,
    user_id uuid NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    payment_state text NOT NULL DEFAULT '',
    confirmed_at timestamptz,
    -- While an order is CREATED: until then one checkout works on it alone.
    claimed_until timestamptz,
    -- By then somebody has moved it on, or the reaper does.
    due_at timestamptz,
    cancel_reason text NOT NULL DEFAULT '',
    timeline jsonb NOT NULL,
    is_submitted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_bucket, order_id)
) WITH (fillfactor = 80);

CREATE INDEX orders_of_user ON orders (user_bucket, user_id, order_id DESC) WHERE is_submitted;
CREATE INDEX orders_due ON orders (due_at) WHERE due_at IS NOT NULL;
-- Confirmed orders in the order of their ids: the log that rankings are compared with.
CREATE INDEX orders_placed ON orders (order_id) WHERE confirmed_at IS NOT NULL;

-- What was bought, by whom, to where; written once when the order is submitted.
CREATE TABLE order_contents (
    user_bucket smallint NOT NULL,
    order_id uuid NOT NULL,
    content jsonb NOT NULL,
    PRIMARY KEY (user_bucket, order_id)
);

-- The recovery point of a keyed request: a repeat finds the order that the first attempt opened. Kept 24 hours.
CREATE TABLE order_requests (
    user_bucket smallint NOT NULL,
    principal text NOT NULL,
    method text NOT NULL,
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    order_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_bucket, principal, method, request_id)
);

CREATE INDEX order_requests_created_at ON order_requests USING brin (created_at) WITH (autosummarize = on);
