-- Orders that nobody saw and that came to nothing, to be deleted a day later.
CREATE INDEX orders_hidden ON orders (updated_at) WHERE NOT is_submitted AND state = 'CANCELLED';
