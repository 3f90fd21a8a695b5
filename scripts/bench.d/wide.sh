# convert's data phase on all cores beside the same on one connection: typed columns cost PostgreSQL more than its stream.

section_wide() {
  local dir=$place/wide
  migrations+=("$dir")
  dumped "$dir" wide "$wide_rows" || return
  tool_on "$dir" plan --accept all >/dev/null || return
  with_jobs() {
    timed tool_on "$dir" convert --fresh --accept all "$@" || return
    ms=$(json "$dir/convert/checkpoint.json" phases_ms data)
  }
  all_cores() { with_jobs; }
  one_connection() { with_jobs --jobs 1; }
  one_connection || return
  compare 'convert, data, wide, all cores / one connection' 1.0 all_cores one_connection
}
