# A small database, as most are: 100,000 rows. The three stages, verification of every value included, beside the bare load
# by others.

section_small() {
  local rows=${BENCH_SMALL_ROWS:-100000}
  beside_others small "$rows" || return
}

# plan + convert + verify of so many narrow rows beside the loads by pgloader, by sqlite3 and psql, and by DuckDB.
beside_others() {
  local name=$1 rows=$2 dir=$place/$1
  migrations+=("$dir")
  "$workload" narrow "$rows" "$place/$name.db" || return
  tool_on "$dir" dump --source "$place/$name.db" >/dev/null || return
  start_postgres "$place/floor" < <(fast_settings) || return
  local url=postgresql://postgres@127.0.0.1:$port/peer
  empty() { psql_on "$place/floor" -c 'DROP DATABASE IF EXISTS peer' -c 'CREATE DATABASE peer'; }

  stages() {
    rm -rf "$dir/plan"
    tool_on "$dir" plan --accept all && tool_on "$dir" convert --fresh --accept all &&
      tool_on "$dir" verify --against local --level full
  }
  move() { timed stages; }
  by_pgloader() { empty && timed pgloader --dynamic-space-size 8192 --quiet "sqlite://$place/$name.db" "$url"; }
  # What sqlite3 writes is PostgreSQL's SQL here, but for the settings.
  print_and_load() { sqlite3 "$place/$name.db" .dump | grep -v '^PRAGMA' | "$pg_bin/psql" -X -q -v ON_ERROR_STOP=1 "$url"; }
  by_sqlite3() { empty && timed print_and_load; }
  by_duckdb() { empty && timed "${duckdb[@]}" "$place/$name.db" "$url"; }

  stages >/dev/null 2>&1 || return
  compare "$rows rows: plan + convert + verify / pgloader" - move by_pgloader || return
  compare "$rows rows: plan + convert + verify / sqlite3 into psql" - move by_sqlite3 || return
  install_duckdb || return
  compare "$rows rows: plan + convert + verify / DuckDB, without keys" - move by_duckdb || return
  rm -f "$place/$name.db"
}
