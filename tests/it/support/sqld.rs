//! A real libSQL server with token authentication on loopback.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    process::{Directory, Server, block_on, free_port, must_run},
    sample_db,
};

/// The server, with an empty database unless something was executed. Stopped and removed when dropped.
pub(crate) struct Sqld {
    server: Server,
    port: u16,
    admin_port: u16,
    namespaces: bool,
    extra: Vec<&'static str>,
    // Declared after the server: it is dropped after it.
    directory: Directory,
}

impl Sqld {
    /// A server with the one namespace `default`.
    pub(crate) fn start() -> Self {
        Self::launch(false, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(extra: &[&'static str]) -> Self {
        Self::launch(false, extra)
    }

    /// A server that chooses the namespace by the request; make them with [`Self::create_namespace`].
    pub(crate) fn start_with_namespaces() -> Self {
        Self::launch(true, &[])
    }

    fn launch(namespaces: bool, extra: &[&'static str]) -> Self {
        let directory = Directory::new();
        let private = directory.path().join("jwt_key.pem");
        must_run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&private));
        let public = directory.path().join("jwt_pub.pem");
        must_run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public));
        let (server, port, admin_port) = spawn_on_free_ports(directory.path(), namespaces, extra);
        Self { server, port, admin_port, namespaces, extra: extra.to_vec(), directory }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A token with every right.
    pub(crate) fn token(&self) -> String {
        self.sign(&json!({}))
    }

    /// A token that may only read.
    pub(crate) fn read_only_token(&self) -> String {
        self.sign(&json!({"a": "ro"}))
    }

    /// A token with every right that ended long ago.
    pub(crate) fn expired_token(&self) -> String {
        self.sign(&json!({"exp": 1_000_000_000}))
    }

    /// A token with these claims, signed with the server's key.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT"});
        let body =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let unsigned = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(unsigned.path(), &body).unwrap();
        let key = self.directory.path().join("jwt_key.pem");
        let signature = must_run(
            Command::new("openssl")
                .args(["pkeyutl", "-sign", "-rawin", "-inkey"])
                .arg(key)
                .arg("-in")
                .arg(unsigned.path()),
        );
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Makes a namespace on a server started with namespaces.
    pub(crate) fn create_namespace(&self, name: &str) {
        self.create_namespace_as(name, &json!({}));
    }

    /// The same for one with these properties, such as `{"shared_schema": true}`.
    pub(crate) fn create_namespace_as(&self, name: &str, properties: &Value) {
        let url = format!("http://127.0.0.1:{}/v1/namespaces/{name}/create", self.admin_port);
        let status =
            block_on(async { reqwest::Client::new().post(url).json(properties).send().await.unwrap().status() });
        assert!(status.is_success(), "namespace {name} can't be made: {status}");
    }

    /// Runs a script of statements in the default namespace (`PRAGMA` and `BEGIN` included). Stops the test at the
    /// first refusal.
    pub(crate) fn execute(&self, script: &str) {
        self.execute_in("default", script);
    }

    /// The same in another namespace.
    pub(crate) fn execute_in(&self, namespace: &str, script: &str) {
        self.pipeline(namespace, &[json!({"type": "sequence", "sql": script})]);
    }

    /// Fills the default namespace with the sample database at this percentage of 100,000 rows.
    pub(crate) fn fill_sample_db(&self, percent: u32) {
        let statement = |step: sample_db::Step| {
            let args: Vec<Value> = step.values.iter().map(argument).collect();
            json!({"type": "execute", "stmt": {"sql": step.sql, "args": args}})
        };
        let mut requests = vec![json!({"type": "sequence", "sql": "PRAGMA foreign_keys=OFF; BEGIN"})];
        requests.extend(sample_db::steps(percent).map(statement));
        requests.push(json!({"type": "sequence", "sql": "COMMIT"}));
        self.pipeline("default", &requests);
    }

    /// The rows of one statement, every value as text; NULL is none, a blob its base64.
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.query_in("default", sql)
    }

    /// The same in another namespace.
    pub(crate) fn query_in(&self, namespace: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        let answer = self.pipeline(namespace, &[json!({"type": "execute", "stmt": {"sql": sql}})]);
        let rows = answer["result"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
    }

    /// Sends requests on one stream and gives the last answer. Stops the test at the first refusal.
    fn pipeline(&self, namespace: &str, requests: &[Value]) -> Value {
        let all = [requests, &[json!({"type": "close"})]].concat();
        let body = json!({"baton": null, "requests": all});
        let mut call =
            reqwest::Client::new().post(format!("{}/v3/pipeline", self.url())).bearer_auth(self.token()).json(&body);
        if self.namespaces {
            call = call.header("x-namespace-bin", base64::engine::general_purpose::STANDARD_NO_PAD.encode(namespace));
        }
        let text = block_on(async move { call.send().await.unwrap().text().await.unwrap() });
        let mut answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("the server answered {text}"));
        for (request, result) in requests.iter().zip(answer["results"].as_array().unwrap()) {
            assert_eq!(result["type"], "ok", "the server refused {request}: {result}");
        }
        answer["results"][requests.len() - 1]["response"].take()
    }

    /// The file in which the server keeps the database of the namespace `default`.
    pub(crate) fn data_file(&self) -> PathBuf {
        self.directory.path().join("data.sqld/dbs/default/data")
    }

    /// The port on which it answers.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory in which it keeps everything.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data.sqld")
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What the server has written.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// Ends the server in order; its data stay for [`Self::start_again`].
    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    /// Ends the server as a power loss would; its data stay for [`Self::start_again`].
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts a stopped server on the same data and ports.
    pub(crate) fn start_again(&mut self) {
        self.server.stop();
        let (server, up) = spawn(self.directory.path(), self.namespaces, &self.extra, self.port, self.admin_port);
        assert!(up, "the libSQL server doesn't start again:\n{}", server.log());
        self.server = server;
    }
}

fn argument(value: &sample_db::Value) -> Value {
    match value {
        sample_db::Value::Null => json!({"type": "null"}),
        sample_db::Value::Integer(number) => json!({"type": "integer", "value": number.to_string()}),
        sample_db::Value::Real(number) => json!({"type": "float", "value": number}),
        sample_db::Value::Text(text) => json!({"type": "text", "value": text}),
        sample_db::Value::Blob(bytes) => {
            json!({"type": "blob", "base64": base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)})
        }
    }
}

fn cell(value: &Value) -> Option<String> {
    match value["type"].as_str() {
        Some("null") => None,
        Some("blob") => value["base64"].as_str().map(str::to_owned),
        Some(_) => value["value"].as_str().map(str::to_owned).or_else(|| Some(value["value"].to_string())),
        None => panic!("no Hrana value: {value}"),
    }
}

fn spawn_on_free_ports(directory: &Path, namespaces: bool, extra: &[&'static str]) -> (Server, u16, u16) {
    let mut log = String::new();
    // Between choosing a port and listening on it somebody else may take it.
    for _ in 0..5 {
        let (port, admin_port) = (free_port(), free_port());
        let (server, up) = spawn(directory, namespaces, extra, port, admin_port);
        if up {
            return (server, port, admin_port);
        }
        log = server.log();
    }
    panic!("the libSQL server doesn't start:\n{log}");
}

fn spawn(directory: &Path, namespaces: bool, extra: &[&'static str], port: u16, admin_port: u16) -> (Server, bool) {
    let mut command = Command::new(program());
    command
        .env_clear()
        .arg("-d")
        .arg(directory.join("data.sqld"))
        .arg("--http-listen-addr")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--admin-listen-addr")
        .arg(format!("127.0.0.1:{admin_port}"))
        .arg("--no-welcome")
        .arg("--auth-jwt-key-file")
        .arg(directory.join("jwt_pub.pem"))
        .args(extra)
        .current_dir(directory);
    if namespaces {
        command.arg("--enable-namespaces");
    }
    let mut server = Server::spawn("the libSQL server", &mut command, directory, Signal::INT);
    let up = server.wait_ready(|| {
        let url = format!("http://127.0.0.1:{port}/health");
        block_on(async {
            reqwest::Client::new().get(url).send().await.is_ok_and(|answer| answer.status().is_success())
        })
    });
    (server, up)
}

fn program() -> PathBuf {
    let path = match std::env::var_os("TURSO2NEON_TEST_SQLD") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers/sqld"),
    };
    assert!(
        path.is_file(),
        "there is no libSQL server at {}; scripts/setup fetches it, TURSO2NEON_TEST_SQLD names another place",
        path.display()
    );
    path
}
