# Time per row of many rows beside that of a million.

section_scale() {
  local rows dir=$place/scale stage
  local -A per_row
  migrations+=("$dir")
  for rows in 1000000 "$scale_rows"; do
    dumped "$dir" narrow "$rows" || return
    # dumped has removed the plan before.
    timed tool_on "$dir" plan --accept all || return
    per_row[plan$rows]=$(nanoseconds "$ms" "$rows")
    tool_on "$dir" convert --fresh --accept all >/dev/null || return
    per_row[convert$rows]=$(nanoseconds "$(json "$dir/convert/checkpoint.json" phases_ms data)" "$rows")
    timed tool_on "$dir" verify --against local --level full || return
    per_row[verify$rows]=$(nanoseconds "$ms" "$rows")
    "$tool" clean --dir "$dir" --yes >/dev/null 2>&1 || return
  done
  for stage in plan convert verify; do
    conclude "$stage, a row of $scale_rows / of 1000000" "${per_row[$stage$scale_rows]}" "${per_row[${stage}1000000]}" 1.15 ns
  done
}

nanoseconds() { echo $(($1 * 1000000 / $2)); }
