//! What stands before a server at Neon: a stand-in for its proxy, which answers with its messages, and PgBouncer.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use rustix::process::Signal;

use crate::support::{
    FaultProxy, Target,
    fault_proxy::Script,
    process::{Directory, Server, free_port},
    target::{Account, OWNER, PASSWORD},
};

/// Answers the first connections like Neon's proxy: TLS, then an error with SQLSTATE `XX000`. Those after them are
/// forwarded to a real server. `certificates` has `server.pem` and `server.key`.
pub(super) fn neon_proxy(certificates: &Path, messages: &'static [&'static str], server: u16) -> FaultProxy {
    let pem = std::fs::read(certificates.join("server.pem")).unwrap();
    let key = std::fs::read(certificates.join("server.key")).unwrap();
    let identity = native_tls::Identity::from_pkcs8(&pem, &key).unwrap();
    let acceptor = native_tls::TlsAcceptor::new(identity).unwrap();
    let intercept = move |number: u64, client: TcpStream| {
        let Some(message) = usize::try_from(number).ok().and_then(|number| messages.get(number)) else {
            return Some(client);
        };
        refuse(client, &acceptor, message);
        None
    };
    FaultProxy::start(move || server, Script { intercept: Box::new(intercept), ..Script::default() })
}

fn refuse(mut client: TcpStream, acceptor: &native_tls::TlsAcceptor, message: &str) {
    let mut request = [0; 8];
    client.read_exact(&mut request).unwrap();
    client.write_all(b"S").unwrap();
    // The client may refuse the certificate.
    let Ok(mut stream) = acceptor.accept(client) else { return };
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut startup).unwrap();
    let fields = format!("SERROR\0CXX000\0M{message}\0\0");
    let mut answer = vec![b'E'];
    answer.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    answer.extend(fields.as_bytes());
    stream.write_all(&answer).unwrap();
    stream.shutdown().ok();
}

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
