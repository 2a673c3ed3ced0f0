-- Minutes since 1970 of the order's placing. Lines of the version before this one have none: they count from the start of their hour.
ALTER TABLE lines ADD COLUMN minute int;

-- What enters and leaves windows is read by minute now, and by hours as sixty of them.
CREATE INDEX lines_by_minute ON lines (generation, root, (coalesce(minute, hour * 60)));
DROP INDEX lines_by_hour;
