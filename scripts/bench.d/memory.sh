# The most memory that the tool has in each stage, with small values: the bound is 64 MB and four times the largest.

section_memory() {
  local dir=$place/memory data=$place/sqld-memory server_port
  migrations+=("$dir")
  mkdir -p "$data/dbs/default" || return
  "$workload" narrow "$narrow_rows" "$data/dbs/default/data" || return
  "$workload" wide "$wide_rows" "$data/dbs/default/data" || return
  server_port=$(free_port)
  "$sqld" -d "$data" --http-listen-addr "127.0.0.1:$server_port" --no-welcome --max-log-size 100000 \
    >"$place/sqld.log" 2>&1 &
  pids+=($!)
  await listening "$server_port" && await curl -sf "http://127.0.0.1:$server_port/health" || return
  start_target || return
  fresh_target pushed || return
  local source=http://127.0.0.1:$server_port

  stage() {
    local what=$1
    shift
    watch_memory "$tool" "$@" --quiet --dir "$dir" || return
    conclude "memory, $what" "$kilobytes" 65536 1 kB
  }
  stage 'dump (sql)' dump --method sql --source "$source" &&
    stage 'dump (replica)' dump --fresh --method replica --source "$source" &&
    stage plan plan --accept all &&
    stage convert convert --accept all --keep-running &&
    stage 'push (create)' push --mode create --target "$url" &&
    stage 'verify (full)' verify --level full --target "$url"
}
