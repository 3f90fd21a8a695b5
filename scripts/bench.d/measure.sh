# Clocks, medians, the most memory of a process, and the results. Read by scripts/bench.

# Runs a command, its output into a log, and leaves its milliseconds in `ms`, and in `cpu` the milliseconds of processor time
# of the command, of the processes that it started, and of the servers that the section has started.
timed() {
  local started ended pid used=0 status=0 TIMEFORMAT='%U %S'
  local -A before=()
  for pid in $(server_pids); do before[$pid]=$(ticks_of "$pid"); done
  started=$(date +%s%3N)
  { time "$@" >"$place/last.log" 2>&1; } 2>"$place/last.cpu" || status=$?
  ended=$(date +%s%3N)
  if [ "$status" -ne 0 ]; then
    echo "bench: failed: $*" >&2
    tail -n 20 "$place/last.log" >&2
    return 1
  fi
  ms=$((ended - started))
  # A server counts what a process of its took when it has noticed its end. One that the command has stopped is not counted.
  sleep 0.1
  for pid in "${!before[@]}"; do
    if [ -e "/proc/$pid" ]; then used=$((used + $(ticks_of "$pid") - before[$pid])); fi
  done
  cpu=$(awk -v used="$used" -v ticks="$(getconf CLK_TCK)" \
    'END { printf "%d", ($1 + $2) * 1000 + used * 1000 / ticks }' "$place/last.cpu")
}

# The servers that run beside a command: those of the section, and a server of the tool that was kept running. What their
# processes took counts when these have ended.
server_pids() {
  local kept dir
  for dir in "${migrations[@]}"; do
    kept=$dir/convert/pgdata/postmaster.pid
    if [ -e "$kept" ]; then head -n 1 "$kept"; fi
  done
  printf '%s\n' "${pids[@]}"
}

ticks_of() { awk '{ sub(/.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/$1/stat" 2>/dev/null || echo 0; }

# The middle of some numbers; of an even count the lower middle.
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

# Runs two functions in turn, each of which leaves its milliseconds in `ms` and `cpu`, and adds a line to the table.
#   compare WHAT TARGET OWN PEER
compare() {
  local what=$1 target=$2 own=$3 peer=$4 run own_times=() peer_times=() own_cpus=() peer_cpus=()
  for ((run = 1; run <= runs; run++)); do
    cpu=0
    "$peer" || return
    peer_times+=("$ms")
    peer_cpus+=("$cpu")
    cpu=0
    "$own" || return
    own_times+=("$ms")
    own_cpus+=("$cpu")
    printf '  pair %s: turso2neon %s ms (processors %s ms), peer %s ms (%s ms)\n' "$run" "${own_times[-1]}" \
      "${own_cpus[-1]}" "${peer_times[-1]}" "${peer_cpus[-1]}"
  done
  conclude "$what" "$(median "${own_times[@]}")" "$(median "${peer_times[@]}")" "$target" ms \
    "$(median "${own_cpus[@]}")" "$(median "${peer_cpus[@]}")"
}

# Adds a line to the table: the ratio of two numbers, and whether it is at most the target; `-` is no target. The processor
# time of both, where it was measured.
#   conclude WHAT OWN PEER TARGET UNIT [OWN_CPU PEER_CPU]
conclude() {
  awk -v section="$section" -v what="$1" -v own="$2" -v peer="$3" -v target="$4" -v unit="$5" -v own_cpu="${6:-0}" \
    -v peer_cpu="${7:-0}" -v json="$place/results" 'BEGIN {
    ratio = own / peer
    met = target == "-" ? "-" : (ratio <= target ? "yes" : "NO")
    cpus = own_cpu > 0 && peer_cpu > 0 ? sprintf("%.2f", own_cpu / peer_cpu) : "-"
    printf "%s|%s %s|%s %s|%.3f|%s|%s|%s\n", what, own, unit, peer, unit, ratio, target, met, cpus
    printf "{\"section\":\"%s\",\"what\":\"%s\",\"own\":%s,\"peer\":%s,\"unit\":\"%s\",\"ratio\":%.4f,\"target\":%s,\"own_cpu_ms\":%d,\"peer_cpu_ms\":%d}\n", \
      section, what, own, peer, unit, ratio, target == "-" ? "null" : target, own_cpu, peer_cpu >>json
  }' | tee -a "$place/table" | sed 's/^/  /'
}

# Writes all results, with what they were measured on, to a file.
write_json() {
  node -e 'const [, from, to, cores, narrow, wide, runs, version] = process.argv, fs = require("fs");
    const results = fs.readFileSync(from, "utf8").trim().split("\n").map((line) => JSON.parse(line));
    const facts = { version, cores: +cores, narrow_rows: +narrow, wide_rows: +wide, pairs: +runs };
    fs.writeFileSync(to, JSON.stringify({ ...facts, results }, null, 1) + "\n")' \
    "$place/results" "$1" "$(nproc)" "$narrow_rows" "$wide_rows" "$runs" "$("$tool" --version | cut -d ' ' -f 2)"
}

show_table() {
  { echo 'what|turso2neon|peer|ratio|target|met|ratio of processor time'; cat "$place/table" 2>/dev/null; } | column -t -s '|'
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
  for package in pgloader sqlite3 curl python3-venv; do
    if [ "$package" = python3-venv ] && python3 -c 'import ensurepip' 2>/dev/null; then continue; fi
    command -v "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  echo "bench: installing ${missing[*]}" >&2
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# DuckDB with its extensions for SQLite and PostgreSQL, in `duckdb`: a Python that has them, and a script for it that takes
# the file and the target's connection string.
install_duckdb() {
  duckdb=("$place/duckdb/bin/python" "$bench/duckdb_copy.py")
  if [ -x "${duckdb[0]}" ]; then return 0; fi
  python3 -m venv "$place/duckdb" && "${duckdb[0]}" -m pip install -q --disable-pip-version-check duckdb==1.5.5 \
    duckdb-extension-postgres-scanner==1.5.5 duckdb-extension-sqlite-scanner==1.5.5
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
