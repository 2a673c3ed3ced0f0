-- Changes of the amount so far: events carry it.
ALTER TABLE prices ADD COLUMN version bigint NOT NULL DEFAULT 1;
