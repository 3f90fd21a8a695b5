# plan, which looks at every value of every column, beside reading every value once.

section_profile() {
  local kind rows dir
  for kind in narrow wide; do
    rows=$narrow_rows
    if [ "$kind" = wide ]; then rows=$wide_rows; fi
    dir=$place/profile-$kind
    migrations+=("$dir")
    dumped "$dir" "$kind" "$rows" || return
    # A plan that is there already is only looked at.
    plan_on_one() {
      rm -rf "$dir/plan"
      timed taskset -c 0 "$tool" plan --quiet --dir "$dir" --accept all
    }
    plan_on_all() {
      rm -rf "$dir/plan"
      timed "$tool" plan --quiet --dir "$dir" --accept all
    }
    read_once() {
      timed taskset -c 0 "$workload" read 0 "$dir/dump/source.db" || return
      ms=$(cut -d ' ' -f 1 "$place/last.log")
    }
    plan_on_one || return
    compare "plan, $kind, one core / reading once" 1.0 plan_on_one read_once
    compare "plan, $kind, all cores / reading once" 1.0 plan_on_all read_once
  done
}
