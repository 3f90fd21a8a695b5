# plan, convert and verify of every value, with keys and indexes, beside pgloader's load alone.

section_whole() {
  local dir=$place/whole
  migrations+=("$dir")
  "$workload" narrow "$narrow_rows" "$place/whole.db" && "$workload" wide "$wide_rows" "$place/whole.db" || return
  tool_on "$dir" dump --source "$place/whole.db" >/dev/null || return
  start_postgres "$place/floor" < <(fast_settings) || return
  local floor_port=$port

  load_by_pgloader() {
    psql_on "$place/floor" -c 'DROP DATABASE IF EXISTS whole' -c 'CREATE DATABASE whole' || return
    # Its default heap doesn't hold such tables.
    timed pgloader --dynamic-space-size 8192 --quiet "sqlite://$place/whole.db" \
      "pgsql://postgres@127.0.0.1:$floor_port/whole"
  }
  three_stages() {
    rm -rf "$dir/plan"
    tool_on "$dir" plan --accept all && tool_on "$dir" convert --fresh --accept all &&
      tool_on "$dir" verify --against local --level full
  }
  move() { timed three_stages; }
  compare 'plan + convert + verify / pgloader' 0.35 move load_by_pgloader
  rm -f "$place/whole.db"
}
