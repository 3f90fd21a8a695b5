//! A stretch of network that can be cut, and a stand-in for Neon's proxy that answers with its messages.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    Target,
    process::{Directory, Server, free_port},
    target::{Account, OWNER, PASSWORD},
};

/// Forwards connections to a port on loopback.
pub(super) struct Wire {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mute: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
}

impl Wire {
    pub(super) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else { return };
                inner.accepted.fetch_add(1, Ordering::SeqCst);
                inner.streams.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || forward(from, to, None));
                let shared = Arc::clone(&inner);
                std::thread::spawn(move || forward(server, client, Some(&shared)));
            }
        });
        Self { port, shared }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing that the server says arrives.
    pub(super) fn mute(&self) {
        self.shared.mute.store(true, Ordering::SeqCst);
    }

    /// Cuts every connection, and lets new ones speak again.
    pub(super) fn cut(&self) {
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.shared.mute.store(false, Ordering::SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, shared: Option<&Shared>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        while shared.is_some_and(|shared| shared.mute.load(Ordering::SeqCst)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

/// Answers the first connections like Neon's proxy: TLS, then an error with SQLSTATE `XX000`. Those after them are
/// forwarded to a real server.
pub(super) struct NeonProxy {
    port: u16,
    answered: Arc<AtomicUsize>,
}

impl NeonProxy {
    /// `certificates` has `server.pem` and `server.key`.
    pub(super) fn start(certificates: &Path, messages: &'static [&'static str], server: u16) -> Self {
        let pem = std::fs::read(certificates.join("server.pem")).unwrap();
        let key = std::fs::read(certificates.join("server.key")).unwrap();
        let identity = native_tls::Identity::from_pkcs8(&pem, &key).unwrap();
        let acceptor = native_tls::TlsAcceptor::new(identity).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(mut client) = client else { return };
                let turn = count.fetch_add(1, Ordering::SeqCst);
                let Some(message) = messages.get(turn) else {
                    let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                    std::thread::spawn(move || forward(from, to, None));
                    std::thread::spawn(move || forward(server, client, None));
                    continue;
                };
                let mut request = [0; 8];
                client.read_exact(&mut request).unwrap();
                client.write_all(b"S").unwrap();
                let Ok(mut stream) = acceptor.accept(client) else { continue };
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
        });
        Self { port, answered }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far.
    pub(super) fn connections(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
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
