ALTER TABLE carts
    -- Changes so far: events carry it.
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    -- When a cart that nobody touches counts as abandoned; NULL once that is told, and while it is empty.
    ADD COLUMN due_at timestamptz;

CREATE INDEX carts_due ON carts (due_at) WHERE due_at IS NOT NULL;
