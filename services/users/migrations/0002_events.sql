-- Changes so far of the user and all that is theirs: events carry it. The version is the profile's alone: its etag.
ALTER TABLE users ADD COLUMN changes bigint NOT NULL DEFAULT 1;
