# Bytes of a push after one row in a thousand has changed, beside those of the first push.

section_diff() {
  local dir=$place/push-diff counted=$place/bytes proxy_port first second
  # shellcheck source=push.sh
  . "$bench/push.sh"
  converted "$dir" || return
  start_target || return
  node "$bench/counting-proxy.mjs" "$port" "$counted" >"$place/proxy" &
  pids+=($!)
  await test -s "$place/proxy" || return
  proxy_port=$(cat "$place/proxy")
  fresh_target pushed "$proxy_port" || return
  timed tool_on "$dir" push --mode create --target "$url" || return
  sleep 0.5
  first=$(cat "$counted")
  printf '  create: %s ms\n' "$ms"

  "$workload" touch 0 "$place/push.db" || return
  tool_on "$dir" dump --source "$place/push.db" >/dev/null || return
  tool_on "$dir" convert --accept all --keep-running >/dev/null || return
  timed tool_on "$dir" push --mode diff --target "$url" || return
  sleep 0.5
  second=$(($(cat "$counted") - first))
  printf '  diff: %s ms\n' "$ms"
  conclude 'push (diff), 0.1 % changed / push (create)' "$second" "$first" 0.05 bytes
  rm -f "$place/push.db"
}
