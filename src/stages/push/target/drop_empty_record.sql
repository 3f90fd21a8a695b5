-- Drops the record of pushes where it is empty, and its schema where no migration is marked as finished.
BEGIN;
SELECT pg_advisory_xact_lock(8391472001);
SET LOCAL lock_timeout = '5s';
DO $$
DECLARE
  is_used boolean;
BEGIN
  IF to_regclass('turso2neon.runs') IS NOT NULL THEN
    -- A push into another schema may be entering its run.
    LOCK TABLE turso2neon.runs, turso2neon.tables, turso2neon.undo, turso2neon.origins, turso2neon.carried
      IN ACCESS EXCLUSIVE MODE;
    SELECT EXISTS (SELECT FROM turso2neon.runs) OR EXISTS (SELECT FROM turso2neon.tables)
        OR EXISTS (SELECT FROM turso2neon.undo) OR EXISTS (SELECT FROM turso2neon.origins)
        OR EXISTS (SELECT FROM turso2neon.carried) INTO is_used;
    IF is_used THEN
      RETURN;
    END IF;
    DROP TABLE IF EXISTS turso2neon.runs, turso2neon.chunks, turso2neon.tables, turso2neon.objects,
      turso2neon.carried, turso2neon.undo, turso2neon.origins RESTRICT;
  END IF;
  IF to_regclass('turso2neon.lifecycle') IS NOT NULL THEN
    LOCK TABLE turso2neon.lifecycle IN ACCESS EXCLUSIVE MODE;
    SELECT EXISTS (SELECT FROM turso2neon.lifecycle) INTO is_used;
    IF is_used THEN
      RETURN;
    END IF;
    DROP TABLE turso2neon.lifecycle RESTRICT;
  END IF;
  DROP SCHEMA IF EXISTS turso2neon RESTRICT;
END $$;
COMMIT
