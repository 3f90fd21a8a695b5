# 100 tiny databases, one after the other: plan and convert of each beside sqlite3 into psql.

section_tiny() {
  local dir=$place/tiny number count=${BENCH_TINY:-100}
  mkdir -p "$dir"
  for ((number = 1; number <= count; number++)); do
    "$workload" narrow 20 "$dir/$number.db" || return
    tool_on "$dir/of-$number" dump --source "$dir/$number.db" >/dev/null || return
  done
  start_postgres "$place/floor" < <(fast_settings) || return
  local url=postgresql://postgres@127.0.0.1:$port

  convert_all() {
    for ((number = 1; number <= count; number++)); do
      tool_on "$dir/of-$number" convert --fresh --accept all || return
    done
  }
  load_all() {
    for ((number = 1; number <= count; number++)); do
      sqlite3 "$dir/$number.db" .dump | grep -v '^PRAGMA' | "$pg_bin/psql" -X -q -v ON_ERROR_STOP=1 "$url/tiny$number" || return
    done
  }
  by_convert() { timed convert_all; }
  by_sqlite3() {
    for ((number = 1; number <= count; number++)); do
      printf 'DROP DATABASE IF EXISTS tiny%s;\nCREATE DATABASE tiny%s;\n' "$number" "$number"
    done | psql_on "$place/floor" || return
    timed load_all
  }
  compare "$count tiny databases: convert / sqlite3 into psql" - by_convert by_sqlite3
  for ((number = 1; number <= count; number++)); do "$tool" clean --dir "$dir/of-$number" --yes >/dev/null 2>&1; done
  rm -rf "$dir"
}
