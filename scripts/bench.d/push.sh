# push (create) over TLS on loopback beside pg_dump into a directory and pg_restore from it, two jobs each.

# A converted database whose server runs on, so that a push and pg_dump read from the same.
converted() {
  local dir=$1
  migrations+=("$dir")
  "$workload" narrow "$narrow_rows" "$place/push.db" && "$workload" wide "$wide_rows" "$place/push.db" || return
  tool_on "$dir" dump --source "$place/push.db" >/dev/null || return
  tool_on "$dir" convert --accept all --keep-running >/dev/null
}

section_push() {
  local dir=$place/push
  converted "$dir" || return
  rm -f "$place/push.db"
  start_target || return
  local_server "$dir" || return

  dump_and_restore() {
    "$pg_bin/pg_dump" "${local_args[@]}" -n public -Fd -j2 "$@" -f "$place/directory" &&
      "$pg_bin/pg_restore" -j2 --no-owner --no-acl -d "$url" "$place/directory"
  }
  by_pg_dump() {
    rm -rf "$place/directory"
    fresh_target restored || return
    # The schema public is there already.
    psql_on "$place/target" -d restored -c 'DROP SCHEMA public' || return
    timed dump_and_restore "${compression[@]}"
  }
  by_push() {
    rm -rf "$dir/push"
    fresh_target pushed || return
    timed tool_on "$dir" push --mode create --target "$url"
  }
  local compression=()
  compare 'push (create) / pg_dump + pg_restore' 0.55 by_push by_pg_dump || return
  compression=(-Z0)
  compare 'push (create) / pg_dump -Z0 + pg_restore' 1.0 by_push by_pg_dump || return
  rm -rf "$place/directory"
}
