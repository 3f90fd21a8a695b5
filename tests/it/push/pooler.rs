//! PgBouncer, which stands before a server at Neon's pooled host.

use std::{net::TcpStream, path::Path};

use rustix::process::Signal;

use crate::support::{
    Target,
    process::{Directory, Server, free_port},
    target::{Account, OWNER, PASSWORD},
};

/// A PgBouncer in transaction mode, as behind Neon's pooled host.
pub(super) struct Pooler {
    _server: Server,
    port: u16,
    _directory: Directory,
}

impl Pooler {
    /// `ignored` are the startup parameters that it keeps to itself instead of refusing them.
    pub(super) fn start(target: &Target, ignored: &str) -> Self {
        Self::start_in("transaction", target, ignored)
    }

    /// The same in another `pool_mode`.
    pub(super) fn start_in(mode: &str, target: &Target, ignored: &str) -> Self {
        let directory = Directory::new();
        let home = directory.path();
        for file in ["server.pem", "server.key"] {
            std::fs::copy(target.socket_directory().join(file), home.join(file)).unwrap();
        }
        std::fs::write(home.join("users.txt"), format!("\"{OWNER}\" \"{PASSWORD}\"\n")).unwrap();
        let port = free_port();
        let settings = format!(
            "[databases]\n{0} = host={1} port={2} dbname={0}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = scram-sha-256\nauth_file = {3}/users.txt\npool_mode = {mode}\ndefault_pool_size = 2\n\
             client_tls_sslmode = require\nclient_tls_key_file = {3}/server.key\nclient_tls_cert_file = {3}/server.pem\n\
             ignore_startup_parameters = {ignored}\nunix_socket_dir =\n",
            target.database(),
            target.socket_directory().display(),
            target.port(),
            home.display()
        );
        std::fs::write(home.join("pgbouncer.ini"), settings).unwrap();
        let account = Account::unprivileged();
        account.own(home);
        // Debian installs it where only root looks.
        let installed = Path::new("/usr/sbin/pgbouncer");
        let program = if installed.exists() { installed } else { Path::new("pgbouncer") };
        let mut command = account.command(program, home);
        command.arg(home.join("pgbouncer.ini"));
        let mut server = Server::spawn("PgBouncer", &mut command, home, Signal::INT);
        assert!(server.wait_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "{}", server.log());
        Self { _server: server, port, _directory: directory }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}
