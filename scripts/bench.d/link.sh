# A push over a long and narrow line (`examples/link.rs`: a delay in each direction and a rate, on this machine), beside
# the time that the line alone takes for the same bytes. BENCH_ROUND_TRIP_MS and BENCH_MBIT say what the line is like.

section_link() {
  local dir=$place/link round_trip=${BENCH_ROUND_TRIP_MS:-40} megabits=${BENCH_MBIT:-200}
  local checkpoint=$dir/push/checkpoint.json line sent load
  cargo build --locked --release --quiet --manifest-path "$bench/../../Cargo.toml" --example link || return
  migrations+=("$dir")
  # Some 60 bytes in a row: the connections and the commit should not count for more than the rows.
  dumped "$dir" narrow "${BENCH_LINK_ROWS:-4000000}" || return
  tool_on "$dir" convert --accept all --keep-running >/dev/null || return
  start_target || return
  # It ends with its standard input, which therefore has a writer: the line itself.
  mkfifo "$place/questions" || return
  "${bench%/scripts/*}/target/release/examples/link" 0 "$port" "$round_trip" "$megabits" \
    <>"$place/questions" >"$place/line" &
  pids+=($!)
  await test -s "$place/line" || return
  line=$(head -n 1 "$place/line")
  fresh_target far "$line" || return
  timed tool_on "$dir" push --mode create --target "$url" || return
  sent=$(json "$checkpoint" sent_bytes)
  load=$(json "$checkpoint" phases_ms load)
  printf '  create: %s ms for %s bytes, phases %s\n' "$ms" "$sent" "$(json "$checkpoint" phases_ms)"
  conclude "push over $round_trip ms and $megabits Mbit/s, load / the line alone" \
    "$load" "$((sent * 8 / (megabits * 1000)))" 1.11 ms
  timed tool_on "$dir" push --target "$url" || return
  printf '  nothing to do: %s ms\n' "$ms"
}
