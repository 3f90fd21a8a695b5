-- Creates the record of pushes where it is missing. The statement that marks the schema and commits follows.
-- There is one lock for whoever creates the record, because IF NOT EXISTS alone loses races.
BEGIN;
SELECT pg_advisory_xact_lock(8391472001);
CREATE SCHEMA IF NOT EXISTS turso2neon;
CREATE TABLE IF NOT EXISTS turso2neon.runs (
  run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_key text NOT NULL,
  target_schema text NOT NULL,
  staging_schema text NOT NULL,
  layout text NOT NULL,
  mode text NOT NULL,
  tool text NOT NULL,
  state text NOT NULL CHECK (state IN ('loading', 'done', 'given up')),
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  row_count bigint
);
CREATE TABLE IF NOT EXISTS turso2neon.chunks (
  run_id bigint NOT NULL,
  table_name text NOT NULL,
  chunk integer NOT NULL,
  row_count bigint,
  byte_count bigint,
  PRIMARY KEY (run_id, table_name, chunk)
);
CREATE TABLE IF NOT EXISTS turso2neon.tables (
  target_schema text NOT NULL,
  state text NOT NULL CHECK (state IN ('staged', 'live', 'previous')),
  name text NOT NULL,
  source text NOT NULL,
  oid oid NOT NULL,
  run_id bigint NOT NULL,
  run_key text NOT NULL,
  fingerprint text NOT NULL,
  row_count bigint NOT NULL,
  digest text NOT NULL,
  chunk_count integer NOT NULL,
  parts text[] NOT NULL,
  PRIMARY KEY (target_schema, state, name)
);
CREATE TABLE IF NOT EXISTS turso2neon.objects (
  target_schema text NOT NULL,
  state text NOT NULL CHECK (state IN ('live', 'previous', 'old')),
  kind text NOT NULL CHECK (kind IN ('view', 'function')),
  name text NOT NULL,
  oid oid NOT NULL,
  digest text NOT NULL,
  PRIMARY KEY (kind, oid)
);
CREATE TABLE IF NOT EXISTS turso2neon.carried (
  target_schema text NOT NULL,
  number integer NOT NULL,
  table_name text,
  statement text,
  PRIMARY KEY (target_schema, number)
);
CREATE TABLE IF NOT EXISTS turso2neon.undo (
  target_schema text NOT NULL,
  run_id bigint NOT NULL,
  name text NOT NULL,
  source text NOT NULL,
  fingerprint text NOT NULL,
  run_key text NOT NULL,
  digest text NOT NULL,
  number integer,
  next bigint,
  plan text,
  PRIMARY KEY (target_schema, name)
);
CREATE TABLE IF NOT EXISTS turso2neon.origins (
  target_schema text PRIMARY KEY,
  source text NOT NULL,
  previous text
);
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'turso2neon.tables'::regclass AND attname = 'structure') THEN
    ALTER TABLE turso2neon.tables ADD COLUMN columns text, ADD COLUMN pushed_xid text, ADD COLUMN structure text[];
    ALTER TABLE turso2neon.undo ADD COLUMN pushed_digest text;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'turso2neon.tables'::regclass AND attname = 'contract') THEN
    ALTER TABLE turso2neon.tables ADD COLUMN contract text;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'turso2neon.tables'::regclass AND attname = 'is_adopted') THEN
    ALTER TABLE turso2neon.tables ADD COLUMN is_adopted boolean;
    ALTER TABLE turso2neon.undo ADD COLUMN was_empty boolean;
  END IF;
END $$;
