-- How often each kind of leader was elected; what an older one writes is refused (fencing).
CREATE TABLE leaders (
    name text PRIMARY KEY,
    epoch bigint NOT NULL,
    elected_at timestamptz NOT NULL DEFAULT now()
);
