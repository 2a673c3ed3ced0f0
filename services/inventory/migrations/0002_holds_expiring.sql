-- As the sweeper asks, and it alone: partial, so that nothing else is ever planned with it. What ends the holds of a batch, which were all made
-- in one instant, would go through all of them for each.
CREATE INDEX holds_expiring ON holds (expires_at) WHERE quantity > 0;
DROP INDEX holds_due;
