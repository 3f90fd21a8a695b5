# dump by replica beside what people use today, from a libSQL server on loopback.

section_dump() {
  local data=$place/sqld server_port dir=$place/dump-replica
  mkdir -p "$data/dbs/default" || return
  # The server takes over a file that it finds.
  "$workload" narrow "$narrow_rows" "$data/dbs/default/data" || return
  "$workload" wide "$((wide_rows / 4))" "$data/dbs/default/data" || return
  server_port=$(free_port)
  "$sqld" -d "$data" --http-listen-addr "127.0.0.1:$server_port" --no-welcome --max-log-size 100000 \
    >"$place/sqld.log" 2>&1 &
  pids+=($!)
  await listening "$server_port" && await curl -sf "http://127.0.0.1:$server_port/health" || return

  by_replica() { timed tool_on "$dir" dump --fresh --method replica --source "http://127.0.0.1:$server_port"; }
  dump_and_load() { curl -sSN "http://127.0.0.1:$server_port/dump" | sqlite3 "$place/loaded.db"; }
  by_dump() {
    rm -f "$place/loaded.db"
    timed dump_and_load
  }
  by_replica || return
  compare 'dump (replica) / GET /dump into sqlite3' 0.2 by_replica by_dump
  rm -f "$place/loaded.db"
}
