-- Answers already given, by the caller's key; kept 24 hours.
CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    method text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    response bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, method, key)
);

-- Rows come in the order of their time, so a block range index finds the old ones at almost no cost to a write.
CREATE INDEX idempotency_keys_created_at ON idempotency_keys USING brin (created_at) WITH (autosummarize = on);
