CREATE TABLE carts (
    cart_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    -- Of the first item that had a price; empty while nothing has one.
    currency text NOT NULL DEFAULT '',
    -- Units over all items, so that the count on every page reads no items.
    item_count integer NOT NULL DEFAULT 0 CHECK (item_count >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX carts_of_user ON carts (user_id, cart_id DESC);

-- Which of a user's carts is meant when none is named. A row of its own: making another one active is one write that can't half happen.
CREATE TABLE active_carts (
    user_id uuid PRIMARY KEY,
    -- Judged at the commit: the first writer takes this row before it makes the cart.
    cart_id uuid NOT NULL REFERENCES carts DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE cart_items (
    cart_id uuid NOT NULL REFERENCES carts ON DELETE CASCADE,
    sku text NOT NULL,
    -- The order in which items were added.
    position bigint GENERATED ALWAYS AS IDENTITY,
    product_id text NOT NULL,
    title text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    -- In minor units of the cart's currency; NULL while nobody could say.
    price_seen bigint,
    PRIMARY KEY (cart_id, sku)
) WITH (fillfactor = 80);
