-- Moving to another bus (services/kit/events/moving.py).
-- is_closed: takes no more events. It stands in the very row that a publisher locks, so that whoever had to wait for the lock sees it too.
-- moved: position of the newest event that the other bus has.
ALTER TABLE partitions
    ADD COLUMN is_closed boolean NOT NULL DEFAULT false,
    ADD COLUMN moved bigint NOT NULL DEFAULT 0;
