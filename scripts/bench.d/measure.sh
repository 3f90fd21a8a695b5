# Clocks, medians, the most memory of a process, and the table. Read by scripts/bench.

# Runs a command, its output into a log, and leaves its milliseconds in `ms`.
timed() {
  local started ended
  started=$(date +%s%3N)
  if ! "$@" >"$place/last.log" 2>&1; then
    echo "bench: failed: $*" >&2
    tail -n 20 "$place/last.log" >&2
    return 1
  fi
  ended=$(date +%s%3N)
  ms=$((ended - started))
}

# The middle of some numbers; of an even count the lower middle.
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

# Runs two functions in turn, each of which leaves its milliseconds in `ms`, and adds a line to the table.
#   compare WHAT TARGET OWN PEER
compare() {
  local what=$1 target=$2 own=$3 peer=$4 run own_times=() peer_times=()
  for ((run = 1; run <= runs; run++)); do
    "$peer"
    peer_times+=("$ms")
    "$own"
    own_times+=("$ms")
    printf '  pair %s: turso2neon %s ms, peer %s ms\n' "$run" "${own_times[-1]}" "${peer_times[-1]}"
  done
  conclude "$what" "$(median "${own_times[@]}")" "$(median "${peer_times[@]}")" "$target" ms
}

# Adds a line to the table: the ratio of two numbers, and whether it is at most the target.
#   conclude WHAT OWN PEER TARGET UNIT
conclude() {
  awk -v what="$1" -v own="$2" -v peer="$3" -v target="$4" -v unit="$5" 'BEGIN {
    ratio = own / peer
    printf "%s|%s %s|%s %s|%.3f|<= %s|%s\n", what, own, unit, peer, unit, ratio, target, (ratio <= target ? "yes" : "NO")
  }' | tee -a "$place/table" | sed 's/^/  /'
}

show_table() {
  { echo 'what|turso2neon|peer|ratio|target|met'; cat "$place/table" 2>/dev/null; } | column -t -s '|'
}

# Runs a call of the tool and leaves the most memory that it had in `kilobytes`.
watch_memory() {
  local pid now
  "$@" >"$place/last.log" 2>&1 &
  pid=$!
  kilobytes=0
  while now=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    kilobytes=$now
    sleep 0.02
  done
  if ! wait "$pid"; then
    tail -n 20 "$place/last.log" >&2
    return 1
  fi
}

# A value in a JSON file, by the words of its path.
json() {
  node -e 'let o = JSON.parse(require("fs").readFileSync(process.argv[1])); for (const k of process.argv.slice(2)) o = o[k]; console.log(typeof o === "object" ? JSON.stringify(o) : o)' "$@"
}

install_peers() {
  local missing=() package
  for package in pgloader sqlite3 curl; do
    command -v "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  echo "bench: installing ${missing[*]}" >&2
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Reads the section's file and calls its function; in this shell, so that its servers are known here.
run_section() {
  # shellcheck disable=SC1090
  . "$bench/$1.sh"
  # `set -e` is off in a condition; every step that may fail is checked by `&&` or by the functions here.
  "section_$1"
}

# A dump of a file in a fresh DIR, and the file gone.
#   dumped DIR KIND ROWS
dumped() {
  rm -rf -- "$1" && "$workload" "$2" "$3" "$place/$2.db" &&
    "$tool" dump --quiet --dir "$1" --source "$place/$2.db" >/dev/null && rm "$place/$2.db"
}

tool_on() {
  local dir=$1 command=$2
  shift 2
  "$tool" "$command" --quiet --dir "$dir" "$@"
}
