#!/usr/bin/env bash
# Measures a push over a long and narrow line: how much of the line one large table uses, and how long a push takes
# that finds nothing to do. The line is `examples/link.rs`: a delay in each direction and a rate, on this machine.
#
#   scripts/bench.d/link.sh [ROWS] [ROUND_TRIP_MS] [MBIT_PER_S]     default: 4 million narrow rows, 40 ms, 200 Mbit/s
#
# Prints the phases of the push, and the time that the line alone needs for the same bytes. Not a test: the machine
# decides, too.
set -euo pipefail
cd "$(dirname "$0")/../.."

rows=${1:-4000000}
round_trip=${2:-40}
megabits=${3:-200}

if [ -z "${TURSO2NEON_BENCH_BUILT:-}" ]; then
  scripts/setup
  cargo build --locked --release --quiet --bin turso2neon --example narrow --example link
fi
tool=$PWD/target/release/turso2neon
narrow=$PWD/target/release/examples/narrow
link=$PWD/target/release/examples/link
pg_bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)

place=$(mktemp -d "${TMPDIR:-/tmp}/turso2neon-link.XXXXXX")
chmod 755 "$place"
migration=$place/migration
home=$place/target
server=
line=

clean_up() {
  if [ -n "$line" ]; then kill "$line" 2>/dev/null || true; fi
  if [ -n "$server" ]; then
    kill -INT "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  "$tool" clean --dir "$migration" --yes >/dev/null 2>&1 || true
  rm -rf -- "$place"
}
trap clean_up EXIT

# PostgreSQL refuses to run as root; so as root its user runs it.
as_postgres=()
if [ "$(id -u)" -eq 0 ]; then as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi

json() { node -e 'let o = JSON.parse(require("fs").readFileSync(process.argv[1])); for (const k of process.argv.slice(2)) o = o[k]; console.log(typeof o === "object" ? JSON.stringify(o) : o)' "$@"; }

printf '== %s rows over %s ms and %s Mbit/s, %s cores\n' "$rows" "$round_trip" "$megabits" "$(nproc)"
"$narrow" "$rows" "$place/narrow.db"
"$tool" dump --quiet --dir "$migration" --source "$place/narrow.db" >/dev/null
rm "$place/narrow.db"
"$tool" convert --quiet --dir "$migration" --accept all >/dev/null

# ---------------------------------------------------------------- the target

mkdir "$home"
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
openssl req -x509 "${key[@]}" -keyout "$home/server.key" -out "$home/server.pem" -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost 2>/dev/null
if [ "$(id -u)" -eq 0 ]; then chown -R postgres "$home"; fi
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
"${as_postgres[@]}" "$pg_bin/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
cat >>"$home/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$home'
ssl = on
ssl_cert_file = '$home/server.pem'
ssl_key_file = '$home/server.key'
password_encryption = 'scram-sha-256'
fsync = off
CONF
printf 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n' >"$home/data/pg_hba.conf"
"${as_postgres[@]}" "$pg_bin/postgres" -D "$home/data" >"$place/target.log" 2>&1 &
server=$!
for ((tries = 0; tries < 300; tries++)); do
  if "$pg_bin/psql" -X -h "$home" -p "$port" -U postgres -c 'SELECT 1' >/dev/null 2>&1; then break; fi
  sleep 0.1
done
"$pg_bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$home" -p "$port" -U postgres \
  -c "CREATE ROLE owner LOGIN PASSWORD 'bench'" -c 'CREATE DATABASE bench OWNER owner'

# ---------------------------------------------------------------- the line

# Keeps its standard input open as long as this script lives.
mkfifo "$place/questions"
"$link" 0 "$port" "$round_trip" "$megabits" <"$place/questions" >"$place/answers" &
line=$!
exec 3>"$place/questions"
until [ -s "$place/answers" ]; do sleep 0.05; done
url="postgresql://owner:bench@localhost:$(head -n 1 "$place/answers")/bench?sslmode=verify-full&sslrootcert=$home/server.pem&channel_binding=require"

push() {
  local started ended
  started=$(date +%s%3N)
  NEON_DATABASE_URL=$url "$tool" push --quiet --dir "$migration" >/dev/null
  ended=$(date +%s%3N)
  echo >&3
  sleep 0.2
  printf '%s: %s ms, %s (connections, round trips, bytes sent, bytes received so far)\n' \
    "$1" "$((ended - started))" "$(tail -n 1 "$place/answers")"
}

push 'push (create)'
checkpoint=$migration/push/checkpoint.json
sent=$(json "$checkpoint" sent_bytes)
load=$(json "$checkpoint" phases_ms load)
printf 'phases in ms: %s\n' "$(json "$checkpoint" phases_ms)"
least=$((sent * 8 / (megabits * 1000)))
printf 'load: %s bytes in %s ms; the line alone: %s ms; used: %s %% (aim: at least 90)\n' \
  "$sent" "$load" "$least" "$((least * 100 / load))"
push 'push (nothing to do)'
