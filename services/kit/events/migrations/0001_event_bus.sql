-- The event bus: a log of topics in partitions, and what each group has read of it.

CREATE TABLE topics (
    name text PRIMARY KEY,
    partitions integer NOT NULL CHECK (partitions > 0),
    retention interval NOT NULL
);

-- head: position of the newest event. It moves under the row's lock in the transaction that appends, so positions have no gaps, commit in
-- order, and a reader that has seen position n has seen everything below it.
-- floor: position of the newest event that retention has dropped.
CREATE TABLE partitions (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL REFERENCES topics (name),
    number integer NOT NULL,
    head bigint NOT NULL DEFAULT 0,
    floor bigint NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
) WITH (fillfactor = 50);

-- One table a day, made ahead and dropped by services/kit/events/retention.py.
CREATE TABLE log (
    partition_id integer NOT NULL,
    position bigint NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    event_id uuid NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    aggregate_version bigint NOT NULL,
    payload bytea NOT NULL,
    source text NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    PRIMARY KEY (partition_id, position, published_at)
) PARTITION BY RANGE (published_at);

-- A process that consumes, alive until expires_at. Not logged: after a crash of the server every living process says so again within a
-- second, and no lease is trusted without its member.
CREATE UNLOGGED TABLE members (
    id uuid PRIMARY KEY,
    process text NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE subscribers (
    group_name text NOT NULL,
    topic text NOT NULL,
    member_id uuid NOT NULL REFERENCES members (id) ON DELETE CASCADE,
    PRIMARY KEY (group_name, topic, member_id)
);
CREATE INDEX subscribers_by_member ON subscribers (member_id);

-- A group's position in a partition, and who may move it: the member `owner`, in the term `epoch`. A former owner's ack names an old epoch.
CREATE TABLE leases (
    group_name text NOT NULL,
    partition_id integer NOT NULL REFERENCES partitions (id),
    position bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    owner uuid,
    PRIMARY KEY (group_name, partition_id)
) WITH (fillfactor = 50);

-- Events that failed alone: tried again at due_at, or dead since died_at. They keep the event, for they outlive the log.
CREATE TABLE failures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name text NOT NULL,
    partition_id integer NOT NULL REFERENCES partitions (id),
    position bigint NOT NULL,
    attempts integer NOT NULL,
    error text NOT NULL,
    due_at timestamptz,
    died_at timestamptz,
    event_id uuid NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    aggregate_version bigint NOT NULL,
    payload bytea NOT NULL,
    source text NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    UNIQUE (group_name, partition_id, position),
    CHECK ((due_at IS NULL) <> (died_at IS NULL))
);
CREATE INDEX failures_due ON failures (due_at, group_name, partition_id) WHERE due_at IS NOT NULL;
CREATE INDEX failures_dead ON failures (died_at) WHERE died_at IS NOT NULL;
