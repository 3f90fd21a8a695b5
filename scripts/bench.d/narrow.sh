# convert's data phase beside the least time that PostgreSQL itself needs: the same rows as a binary stream, encoded
# beforehand, read by the server from a file, into a table created in the same transaction, on a throw-away cluster
# with the settings that convert uses for loading.

section_narrow() {
  local dir=$place/narrow
  migrations+=("$dir")
  dumped "$dir" narrow "$narrow_rows" || return
  tool_on "$dir" plan --accept all >/dev/null || return
  # A first conversion warms the file cache and gives the rows; its server is asked for them in PostgreSQL's own form.
  tool_on "$dir" convert --accept all --keep-running >/dev/null || return
  local_server "$dir" || return
  local columns
  columns=$("$pg_bin/psql" -X -q -A -t "${local_args[@]}" -c "SELECT string_agg(format('%I %s%s', attname,
    format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = 'public.narrow'::regclass AND attnum > 0 AND NOT attisdropped") || return
  "$pg_bin/psql" -X -q "${local_args[@]}" -c 'COPY public.narrow TO STDOUT (FORMAT binary)' >"$place/stream" || return
  chmod 644 "$place/stream"
  start_postgres "$place/floor" < <(fast_settings) || return

  ingest() {
    psql_on "$place/floor" -c 'DROP TABLE IF EXISTS narrow' -c CHECKPOINT 2>/dev/null || return
    timed psql_on "$place/floor" -1 -c "CREATE TABLE narrow ($columns)" -c "COPY narrow FROM '$place/stream' (FORMAT binary)"
  }
  convert() {
    timed tool_on "$dir" convert --fresh --accept all || return
    ms=$(json "$dir/convert/checkpoint.json" phases_ms data)
    # The processor time is that of all phases.
    cpu=0
  }
  compare 'convert, data, narrow / PostgreSQL alone' 1.10 convert ingest
  printf '  phases of the last conversion in ms: %s\n' "$(json "$dir/convert/checkpoint.json" phases_ms)"
  rm -f "$place/stream"
}
