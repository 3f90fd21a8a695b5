//! A real PostgreSQL that stands in for Neon: TLS only, a certificate from its own CA, SCRAM, a role without
//! superuser rights. What it can't imitate is Neon's proxy and its suspended computes.

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::Signal;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::{
    process::{Directory, Server, block_on, free_port, must_run},
    programs::{PgVersion, Programs},
};

/// The role that owns the databases, built like a Neon project's role.
pub(crate) const OWNER: &str = "owner";

/// The owner's password. Distinct enough to be searched for.
pub(crate) const PASSWORD: &str = "pw7-Correct~Horse";

/// A database of its own for one test. Dropped with it.
pub(crate) struct Target {
    cluster: Arc<Cluster>,
    database: String,
}

impl Target {
    /// A fresh database on the server that all tests of this process share.
    pub(crate) fn start() -> Self {
        Self::start_on(PgVersion::Newest)
    }

    /// A fresh database on the server of this version that all tests of this process share.
    pub(crate) fn start_on(which: PgVersion) -> Self {
        /// Starts on first use.
        type Place = Arc<Mutex<Option<Arc<Cluster>>>>;
        static SHARED: Mutex<BTreeMap<PgVersion, Place>> = Mutex::new(BTreeMap::new());
        // Servers of several versions start side by side; of each version there is one.
        let place = Arc::clone(SHARED.lock().unwrap().entry(which).or_default());
        let mut shared = place.lock().unwrap();
        let cluster = Arc::clone(shared.get_or_insert_with(|| Arc::new(Cluster::start(which, ""))));
        drop(shared);
        Self::on(cluster)
    }

    /// A fresh database on a server of its own, with these lines added to `postgresql.conf`.
    pub(crate) fn start_alone(settings: &str) -> Self {
        Self::on(Arc::new(Cluster::start(PgVersion::Newest, settings)))
    }

    fn on(cluster: Arc<Cluster>) -> Self {
        Self::create(cluster, "")
    }

    fn create(cluster: Arc<Cluster>, clause: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let database = format!("shop_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        cluster.query("postgres", &format!("CREATE DATABASE {database} OWNER {OWNER} {clause}"));
        Self { cluster, database }
    }

    /// A fresh database on the same server.
    pub(crate) fn beside(&self) -> Self {
        Self::on(Arc::clone(&self.cluster))
    }

    /// A fresh database of another encoding on the same server.
    pub(crate) fn with_encoding(&self, encoding: &str) -> Self {
        let clause = format!("ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        Self::create(Arc::clone(&self.cluster), &clause)
    }

    /// A copy of this database on the same server. Nobody may be connected to this one. `clause` is the end of the
    /// statement, such as a tablespace.
    pub(crate) fn copy(&self, clause: &str) -> Self {
        let copy = Self::create(Arc::clone(&self.cluster), &format!("TEMPLATE {} {clause}", self.database));
        // Sequences of a copy step back after a crash, unless their next change is the first one after a checkpoint.
        copy.query("CHECKPOINT");
        copy
    }

    /// Stops the server by this signal (`INT`: sessions get a message; `QUIT`: as in a crash) and starts it again on
    /// the same port. Returns when it answers.
    pub(crate) fn restart(&self, signal: Signal) {
        let cluster = &self.cluster;
        let mut server = cluster.server.lock().unwrap();
        server.stop_by(signal);
        *server = spawn_on(cluster.port, &cluster.programs, cluster.directory.path(), &Account::unprivileged())
            .unwrap_or_else(|log| panic!("PostgreSQL doesn't start again:\n{log}"));
    }

    /// What a user pastes: the owner's connection string with verified TLS and channel binding.
    pub(crate) fn url(&self) -> String {
        format!(
            "{}?sslmode=verify-full&sslrootcert={}&channel_binding=require",
            self.url_without_parameters(),
            self.ca_file().display()
        )
    }

    /// `postgresql://owner:password@localhost:PORT/database`.
    pub(crate) fn url_without_parameters(&self) -> String {
        format!("postgresql://{OWNER}:{PASSWORD}@localhost:{}/{}", self.cluster.port, self.database)
    }

    /// The superuser's connection string over the private unix socket; needs no password.
    pub(crate) fn admin_url(&self) -> String {
        self.admin_url_of(&self.database)
    }

    /// The same for another database of the server.
    pub(crate) fn admin_url_of(&self, database: &str) -> String {
        format!(
            "postgresql://postgres@/{database}?host={}&port={}",
            self.socket_directory().display(),
            self.cluster.port
        )
    }

    /// The CA that signed the server's certificate, PEM.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.cluster.directory.path().join("ca.pem")
    }

    /// A CA that signed nothing here, PEM.
    pub(crate) fn foreign_ca_file(&self) -> PathBuf {
        self.cluster.directory.path().join("foreign.pem")
    }

    /// The directory of the unix socket.
    pub(crate) fn socket_directory(&self) -> PathBuf {
        self.cluster.directory.path().to_owned()
    }

    /// The TCP port on 127.0.0.1, which is the socket's number too.
    pub(crate) fn port(&self) -> u16 {
        self.cluster.port
    }

    /// The database's name.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// The server's programs, such as `psql`.
    pub(crate) fn bin_dir(&self) -> &Path {
        &self.cluster.programs.bin
    }

    /// The rows of all statements, as the superuser over the unix socket, every value as text; NULL is none.
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.cluster.query(&self.database, sql)
    }

    /// As [`Self::query`], but a refusal is an answer: its SQLSTATE and its message.
    pub(crate) fn try_query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, (String, String)> {
        let answer = block_on(try_query(self.cluster.directory.path(), self.cluster.port, &self.database, sql));
        answer.map_err(|failure| match failure.as_db_error() {
            Some(refusal) => (refusal.code().code().to_owned(), refusal.message().to_owned()),
            None => panic!("PostgreSQL is gone: {failure:?}"),
        })
    }

    /// The first value of the first row, `(null)` for NULL.
    pub(crate) fn value(&self, sql: &str) -> String {
        let rows = self.query(sql);
        let first = rows.first().and_then(|row| row.first()).unwrap_or_else(|| panic!("no row: {sql}"));
        first.clone().unwrap_or_else(|| "(null)".to_owned())
    }

    /// Runs statements as the role that owns the database, over the unix socket.
    pub(crate) fn execute_as_owner(&self, sql: &str) {
        self.query(&format!("SET ROLE {OWNER}; {sql}"));
    }

    /// Every table of a schema with its rows and a digest of their text in any order.
    pub(crate) fn content(&self, schema: &str) -> BTreeMap<String, String> {
        let list = format!("SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' ORDER BY 1");
        let tables = self.query(&list).into_iter().map(|row| row[0].clone().unwrap());
        let digest = |table: String| {
            let sql = format!(
                "SET timezone='UTC'; SELECT count(*) || ' rows, ' || \
                 coalesce(md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))), '-') FROM {schema}.\"{table}\" t"
            );
            (table, self.value(&sql))
        };
        tables.map(digest).collect()
    }

    /// The definitions of everything in a schema, as `pg_dump` writes them.
    pub(crate) fn definitions(&self, schema: &str) -> String {
        let mut command = Command::new(self.bin_dir().join("pg_dump"));
        command.args(["--schema-only", "--no-owner", "--no-privileges", "-n", schema, "-d"]).arg(self.admin_url());
        let text = String::from_utf8(must_run(&mut command)).unwrap();
        // Newer pg_dump fences its output with a random word.
        text.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("--")).collect::<Vec<_>>().join("\n")
    }

    /// Ends every other session in this database, as a lost network would. Gives their number.
    pub(crate) fn cut_connections(&self) -> usize {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.query(cut).len()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // After a failed test the server may be gone already.
        if !std::thread::panicking() {
            self.cluster.query("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.database));
        }
    }
}

/// A server process with its data.
struct Cluster {
    server: Mutex<Server>,
    port: u16,
    programs: Programs,
    // Declared after the server: it is dropped after it.
    directory: Directory,
}

impl Cluster {
    fn start(which: PgVersion, settings: &str) -> Self {
        let directory = Directory::new();
        make_certificates(directory.path());
        let account = Account::unprivileged();
        let programs = Programs::find(which, &account, directory.path());
        account.own(directory.path());
        // The one with pgvector is built without TLS.
        let tls = if which == PgVersion::Pgvector { "off" } else { "on" };
        initialise(&programs, directory.path(), &account, &format!("ssl = {tls}\n{settings}"));
        let (server, port) = spawn_on_free_port(&programs, directory.path(), &account);
        let cluster = Self { server: Mutex::new(server), port, programs, directory };
        let roles = format!(
            "CREATE ROLE neon_superuser CREATEDB CREATEROLE NOLOGIN REPLICATION BYPASSRLS \
                 IN ROLE pg_read_all_data, pg_write_all_data; \
             CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}' CREATEDB CREATEROLE REPLICATION BYPASSRLS \
                 IN ROLE neon_superuser"
        );
        cluster.query("postgres", &roles);
        cluster
    }

    fn query(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        match block_on(try_query(self.directory.path(), self.port, database, sql)) {
            Ok(rows) => rows,
            Err(failure) => panic!("PostgreSQL refused {sql}: {failure:?}"),
        }
    }
}

async fn try_query(
    socket: &Path,
    port: u16,
    database: &str,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket).port(port).user("postgres").dbname(database);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    let mut rows = Vec::new();
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
        }
    }
    Ok(rows)
}

/// Who runs the server: PostgreSQL refuses to run as root.
pub(crate) struct Account(Option<(u32, u32)>);

impl Account {
    pub(crate) fn unprivileged() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        let number = |flag: &str| {
            let output = must_run(Command::new("id").args([flag, "postgres"]));
            String::from_utf8(output).unwrap().trim().parse().unwrap()
        };
        Self(Some((number("-u"), number("-g"))))
    }

    pub(crate) fn own(&self, directory: &Path) {
        let Self(Some((user, group))) = self else { return };
        std::os::unix::fs::chown(directory, Some(*user), Some(*group)).unwrap();
        for entry in std::fs::read_dir(directory).unwrap() {
            std::os::unix::fs::chown(entry.unwrap().path(), Some(*user), Some(*group)).unwrap();
        }
    }

    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
        command.current_dir(directory);
        if let Self(Some((user, group))) = self {
            command.uid(*user).gid(*group);
        }
        command
    }
}

fn initialise(programs: &Programs, directory: &Path, account: &Account, settings: &str) {
    let data = directory.join("data");
    let mut initdb = programs.command("initdb", account, directory);
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"]).arg(&data);
    must_run(&mut initdb);
    let configuration = format!(
        "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{0}'\nunix_socket_permissions = 0700\n\
         ssl_cert_file = '{0}/server.pem'\nssl_key_file = '{0}/server.key'\n\
         password_encryption = 'scram-sha-256'\nidle_in_transaction_session_timeout = 300000\n\
         fsync = off\n{settings}\n",
        directory.display()
    );
    let path = data.join("postgresql.conf");
    let text = std::fs::read_to_string(&path).unwrap() + &configuration;
    std::fs::write(path, text).unwrap();
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
}

fn spawn_on_free_port(programs: &Programs, directory: &Path, account: &Account) -> (Server, u16) {
    let mut log = String::new();
    // Between choosing a port and listening on it somebody else may take it.
    for _ in 0..5 {
        let port = free_port();
        match spawn_on(port, programs, directory, account) {
            Ok(server) => return (server, port),
            Err(said) => log = said,
        }
    }
    panic!("PostgreSQL doesn't start:\n{log}");
}

/// Starts the server and waits until it answers. If it ends instead: what it said.
fn spawn_on(port: u16, programs: &Programs, directory: &Path, account: &Account) -> Result<Server, String> {
    let mut command = programs.command("postgres", account, directory);
    command.arg("-D").arg(directory.join("data")).arg("-p").arg(port.to_string());
    let mut server = Server::spawn("PostgreSQL", &mut command, directory, Signal::QUIT);
    if server.wait_ready(|| block_on(try_query(directory, port, "postgres", "SELECT 1")).is_ok()) {
        return Ok(server);
    }
    Err(server.log())
}

/// A CA, a server certificate for `*.neon.local`, `localhost` and `127.0.0.1` signed by it, and a foreign CA.
fn make_certificates(directory: &Path) {
    let openssl = |args: &[&str]| must_run(Command::new("openssl").args(args).current_dir(directory));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = |name: &str| {
        let (secret, public, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN=test {name}"));
        let args = ["-keyout", &secret, "-out", &public, "-days", "2", "-subj", &subject];
        openssl(&[&["req", "-x509"], &key[..], &args].concat());
    };
    authority("ca");
    authority("foreign");
    openssl(&[&["req"], &key[..], &["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"]].concat());
    let names = "subjectAltName=DNS:*.neon.local,DNS:localhost,IP:127.0.0.1\n";
    std::fs::write(directory.join("server.ext"), names).unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "server.ext",
        "-out",
        "server.pem",
    ]);
}
