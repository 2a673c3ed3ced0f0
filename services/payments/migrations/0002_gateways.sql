-- Payments that a gateway moves, and what is to be done about them there, by when.
ALTER TABLE payments
    ADD COLUMN gateway text NOT NULL DEFAULT '',
    ADD COLUMN link text NOT NULL DEFAULT '',
    ADD COLUMN failure_reason text NOT NULL DEFAULT '',
    -- The gateway's own time of the newest report.
    ADD COLUMN reported_at timestamptz,
    ADD COLUMN due_at timestamptz,
    -- At the step that is due.
    ADD COLUMN attempts integer NOT NULL DEFAULT 0;

CREATE INDEX payments_due ON payments (due_at) WHERE due_at IS NOT NULL;
