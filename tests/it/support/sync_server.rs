//! The Turso engine's own sync server on loopback: the server side of `/pull-updates`. It asks for no token.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::process::{Directory, Server, block_on, free_port, must_run};

/// The server, with an empty database unless something was executed. Stopped and removed when dropped.
pub(crate) struct SyncServer {
    server: Server,
    port: u16,
    // Declared after the server: it is dropped after it.
    directory: Directory,
}

impl SyncServer {
    /// A server with a new database.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(extra: &[&str]) -> Self {
        let mut log = String::new();
        for _ in 0..5 {
            let (directory, port) = (Directory::new(), free_port());
            let mut command = Command::new(program());
            command.env_clear().arg(directory.path().join("source.db")).args(["--sync-server"]);
            command.arg(format!("127.0.0.1:{port}")).args(extra).current_dir(directory.path());
            let mut server = Server::spawn("the sync server", &mut command, directory.path(), Signal::INT);
            if server.wait_ready(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()) {
                return Self { server, port, directory };
            }
            log = server.log();
        }
        panic!("the sync server doesn't start:\n{log}");
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port on which it answers.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements one after the other. Stops the test at the first refusal.
    pub(crate) fn execute(&self, statements: &[&str]) {
        let requests: Vec<Value> =
            statements.iter().map(|sql| json!({"type": "execute", "stmt": {"sql": sql}})).collect();
        let call = reqwest::Client::new()
            .post(format!("{}/v2/pipeline", self.url()))
            .json(&json!({"baton": null, "requests": requests}));
        let answer: Value = block_on(async move { call.send().await.unwrap().json().await.unwrap() });
        for (sql, result) in statements.iter().zip(answer["results"].as_array().unwrap()) {
            assert_eq!(result["type"], "ok", "the server refused {sql}: {result}");
        }
    }

    /// Ends the server; its file stays until this is dropped.
    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    /// Runs a statement on a file of the engine.
    pub(crate) fn run_on(file: &Path, sql: &str) {
        must_run(Command::new(program()).env_clear().arg("-q").arg(file).arg(sql));
    }

    /// The file in which it keeps the database, its log beside it.
    pub(crate) fn data_file(&self) -> PathBuf {
        self.directory.path().join("source.db")
    }
}

fn program() -> PathBuf {
    let path = match std::env::var_os("TURSO2NEON_TEST_TURSODB") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers/tursodb"),
    };
    assert!(
        path.is_file(),
        "there is no sync server at {}; scripts/setup fetches it, TURSO2NEON_TEST_TURSODB names another place",
        path.display()
    );
    path
}
