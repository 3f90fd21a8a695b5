# A `run` that finds nothing to do: its time without the digests that the target computes, in milliseconds of 500.

section_repeat() {
  local rows=${BENCH_REPEAT_ROWS:-5000000} dir=$place/repeat run times=()
  migrations+=("$dir")
  "$workload" narrow "$rows" "$place/repeat.db" || return
  start_target || return
  fresh_target pushed || return
  again() { "$tool" run --quiet --json --dir "$dir" --source "$place/repeat.db" --target "$url" --accept all "$@" >"$place/events"; }
  # A file that was written just now may be written again within the same tick of the clock.
  sleep 5
  again || return
  for ((run = 1; run <= runs; run++)); do
    timed again || return
    local digests
    digests=$(node "$bench/phase-ms.mjs" "$place/events" digests) || return
    printf '  nothing to do: %s ms, of it the digests of the target %s ms\n' "$ms" "$digests"
    times+=("$((ms - digests))")
  done
  conclude "run of $rows rows with nothing to do, without the target's digests / 500 ms" "$(median "${times[@]}")" 500 1 ms
  rm -f "$place/repeat.db"
}
