-- A relay passes over what was made just now, which under load is almost all
-- of the outbox: with created_at in the index it does so without reading rows.

DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (due_at, created_at);
