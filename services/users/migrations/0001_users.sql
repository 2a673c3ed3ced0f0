CREATE TABLE users (
    user_id uuid PRIMARY KEY,
    email text NOT NULL CONSTRAINT users_email_is_lower_case CHECK (email = lower(email)),
    -- Argon2id in its encoded form.
    password_hash text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    roles text[] NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    CONSTRAINT users_email_is_unique UNIQUE (email)
);

-- A login on one device. Refresh tokens are kept as SHA-256 only.
CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL,
    -- The token before, and the present one sealed with it: who repeats a refresh at once gets the same token again.
    previous_hash bytea,
    sealed_token bytea,
    user_agent text NOT NULL,
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
) WITH (fillfactor = 80);

CREATE INDEX sessions_of_user ON sessions (user_id, session_id DESC);
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
-- Sessions come in the order of their time, so a block range index finds the old ones and costs a refresh nothing.
CREATE INDEX sessions_refreshed_at ON sessions USING brin (refreshed_at) WITH (autosummarize = on);

-- Keyed by the user first: checkout reads one address of one user by it.
CREATE TABLE addresses (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    address_id uuid NOT NULL,
    line1 text NOT NULL,
    line2 text NOT NULL,
    city text NOT NULL,
    state text NOT NULL,
    pincode text NOT NULL,
    country text NOT NULL,
    type text NOT NULL,
    is_default boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, address_id)
);

CREATE UNIQUE INDEX addresses_one_default ON addresses (user_id) WHERE is_default;
