-- What is searched: products as the catalogue tells of them, whether they are on sale or not. Copies of the index are filled from here.
CREATE TABLE products (
    product_id text COLLATE "C" PRIMARY KEY,
    -- The catalogue's; of a product that is gone above all.
    version bigint NOT NULL,
    is_shown boolean NOT NULL,
    title text NOT NULL,
    brand text NOT NULL,
    description text NOT NULL,
    category_path text[] NOT NULL,
    category_id text COLLATE "C" NOT NULL,
    image_url text NOT NULL,
    -- Hundredths of a star; 0: nobody has rated.
    rating int NOT NULL,
    -- The first one's price is the product's.
    skus text[] NOT NULL,
    created_at timestamptz,
    -- Units of late, of those that stand in a ranking.
    popularity bigint NOT NULL DEFAULT 0,
    -- That of the last change, its offers' changes included: a copy of the index takes what is above its own position.
    position bigint NOT NULL
);
CREATE UNIQUE INDEX products_by_position ON products (position);
CREATE INDEX products_by_sku ON products USING gin (skus);

-- What is known of SKUs, whether their product is known yet or not. Version -1: nothing is.
CREATE TABLE offers (
    sku text COLLATE "C" PRIMARY KEY,
    price_version bigint NOT NULL DEFAULT -1,
    -- Minor units of the shop's currency.
    price bigint,
    stock_version bigint NOT NULL DEFAULT -1,
    is_in_stock boolean NOT NULL DEFAULT false
);

-- The last position given: its row is the lock under which positions are given, so that they become visible in their order.
CREATE TABLE positions (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    last bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO positions (last) VALUES (0);

-- Which copy of the index is to answer, and which one answered before it.
CREATE TABLE generation (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    wanted bigint NOT NULL,
    previous bigint,
    -- Numbers aren't used twice.
    newest bigint NOT NULL,
    -- Whether what was there before this service has been read from the catalogue.
    is_filled boolean NOT NULL DEFAULT false
);
INSERT INTO generation (wanted, newest) VALUES (1, 1);
