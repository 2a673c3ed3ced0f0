-- Events that wait to be published. The relay reads them by id and deletes them, so the table is small and changes fast.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    aggregate_version bigint NOT NULL,
    payload bytea NOT NULL,
    source text NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text NOT NULL
) WITH (
    -- A queue's dead rows lie where the next read begins: vacuum by their number, not by a part of a table that is mostly empty.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);
