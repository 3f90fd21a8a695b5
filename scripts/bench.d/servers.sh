# The servers that sections need, each stopped by its process id. Read by scripts/bench.

pids=()
migrations=()

pg_bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
# PostgreSQL refuses to run as root; so as root its user runs it.
as_postgres=()
if [ "$(id -u)" -eq 0 ]; then as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi

stop_all() {
  local pid dir
  for dir in "${migrations[@]}"; do "$tool" clean --dir "$dir" --yes >/dev/null 2>&1 || true; done
  # INT ends the libSQL server, and PostgreSQL whoever is connected.
  for pid in "${pids[@]}"; do kill -INT "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
  migrations=()
}

clean_up() {
  stop_all
  cd /
  rm -rf -- "$place"
}

free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}

# Waits until a command succeeds, half a minute at most.
await() {
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "bench: a server doesn't start: $*" >&2
  return 1
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

# A PostgreSQL in directory $1 with the lines of standard input as its settings; its port is left in `port`.
start_postgres() {
  local dir=$1
  mkdir -p "$dir"
  rm -rf -- "$dir/data"
  cat >"$dir/settings"
  if [ "$(id -u)" -eq 0 ]; then chown -R postgres "$dir"; fi
  (cd "$dir" && "${as_postgres[@]}" "$pg_bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
    --no-sync) >/dev/null || return
  port=$(free_port)
  {
    printf "listen_addresses = '127.0.0.1'\nport = %s\nunix_socket_directories = '%s'\n" "$port" "$dir"
    cat "$dir/settings"
  } >>"$dir/data/postgresql.conf"
  (cd "$dir" && exec "${as_postgres[@]}" "$pg_bin/postgres" -D "$dir/data") >"$dir/log" 2>&1 &
  pids+=($!)
  await psql_on "$dir" -c 'SELECT 1'
}

# The administrator's psql on the server of a directory.
psql_on() {
  local dir=$1
  shift
  "$pg_bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir" -p "$(sed -n 's/^port = //p' "$dir/data/postgresql.conf" | tail -n 1)" \
    -U postgres "$@"
}

# What PostgreSQL has while convert loads: nothing is kept if the machine stops.
fast_settings() {
  cat <<'CONF'
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 8GB
shared_buffers = 256MB
maintenance_work_mem = 64MB
max_parallel_maintenance_workers = 2
CONF
}

# A PostgreSQL with its own CA and TLS, standing in for Neon: default settings. Leaves `target_url` without a database,
# and `port`.
start_target() {
  local dir=$place/target key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  mkdir -p "$dir"
  openssl req -x509 "${key[@]}" -keyout "$dir/ca.key" -out "$place/ca.pem" -days 2 -subj '/CN=bench CA' 2>/dev/null
  openssl req "${key[@]}" -keyout "$dir/server.key" -out "$dir/server.csr" -subj '/CN=localhost' 2>/dev/null
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$dir/server.ext"
  openssl x509 -req -in "$dir/server.csr" -CA "$place/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
    -extfile "$dir/server.ext" -out "$dir/server.pem" 2>/dev/null
  start_postgres "$dir" <<CONF
ssl = on
ssl_cert_file = '$dir/server.pem'
ssl_key_file = '$dir/server.key'
max_wal_size = 8GB
CONF
  psql_on "$dir" -c "CREATE ROLE owner LOGIN PASSWORD 'bench' CREATEDB CREATEROLE"
}

# An empty database of the target, and `url` to it. Through another port if one is given.
fresh_target() {
  psql_on "$place/target" -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1 OWNER owner" -c CHECKPOINT
  url="postgresql://owner:bench@localhost:${2:-$port}/$1?sslmode=verify-full&sslrootcert=$place/ca.pem"
}

# The directory of the socket of convert's server, and its arguments for a client.
local_server() {
  local data
  data=$(json "$1/convert/checkpoint.json" local pgdata)
  case "$data" in /*) ;; *) data=$1/$data ;; esac
  local_args=(-h "$(sed -n 5p "$data/postmaster.pid")" -p "$(sed -n 4p "$data/postmaster.pid")" -U turso2neon -d postgres)
}
