-- The version of the payment whose state the order shows, so that an older event changes nothing.
ALTER TABLE orders ADD COLUMN payment_version bigint NOT NULL DEFAULT 0;
