-- Events that a group has worked off, so that a redelivery is passed over.
-- Partitioned by the day in the event's own id (a UUIDv7 begins with its time): a repeat meets its first delivery whenever it arrives.
CREATE TABLE inbox (
    event_id uuid NOT NULL,
    group_name text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, group_name)
) PARTITION BY RANGE (event_id);

-- Days that have no partition: forced replays of the past, clocks that are wrong, leaders that were away.
CREATE TABLE inbox_other_days PARTITION OF inbox DEFAULT;
