# 500 small tables with keys, indexes and foreign keys: the whole of convert, its own PostgreSQL included, beside
# pgloader into a server that runs already.

section_many() {
  local dir=$place/many
  migrations+=("$dir")
  dumped "$dir" many 200 || return
  tool_on "$dir" plan --accept all >/dev/null || return
  "$workload" many 200 "$place/many.db" || return
  start_postgres "$place/floor" < <(fast_settings) || return
  local floor_port=$port

  pgloader_many() {
    psql_on "$place/floor" -c 'DROP DATABASE IF EXISTS many' -c 'CREATE DATABASE many' || return
    timed pgloader --quiet "sqlite://$place/many.db" "pgsql://postgres@127.0.0.1:$floor_port/many"
  }
  convert_many() { timed tool_on "$dir" convert --fresh --accept all; }
  compare 'convert, 500 small tables / pgloader' 0.06 convert_many pgloader_many
  rm -f "$place/many.db"
}
