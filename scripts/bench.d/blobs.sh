# Large values: 20,000 blobs of 50 KB. The data phase of convert beside PostgreSQL's own ingest of the same stream.

section_blobs() { large_values blobs; }

# Rows with one large value each.
large_values() {
  local kind=$1 rows=${BENCH_LARGE_ROWS:-20000} dir=$place/$1
  migrations+=("$dir")
  dumped "$dir" "$kind" "$rows" || return
  tool_on "$dir" convert --accept all --keep-running >/dev/null || return
  local_server "$dir" || return
  "$pg_bin/psql" -X -q "${local_args[@]}" -c "COPY public.$kind TO STDOUT (FORMAT binary)" >"$place/stream" || return
  chmod 644 "$place/stream"
  local type=bytea
  if [ "$kind" = texts ]; then type=text; fi
  start_postgres "$place/floor" < <(fast_settings) || return
  ingest() {
    psql_on "$place/floor" -c "DROP TABLE IF EXISTS $kind" -c CHECKPOINT 2>/dev/null || return
    timed psql_on "$place/floor" -1 -c "CREATE TABLE $kind (id bigint NOT NULL, content $type)" \
      -c "COPY $kind FROM '$place/stream' (FORMAT binary)"
  }
  convert() {
    timed tool_on "$dir" convert --fresh --accept all || return
    ms=$(json "$dir/convert/checkpoint.json" phases_ms data)
    # The processor time is that of all phases.
    cpu=0
  }
  compare "convert, data, $rows $kind of 50 KB / PostgreSQL alone" - convert ingest
  rm -f "$place/stream"
}
