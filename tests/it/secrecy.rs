//! Canaries: a token, passwords and a row value are planted, every command is made to fail in several ways at full
//! verbosity, and none of them may appear in what the tool prints, keeps or shows in the process list.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::support::{Run, Sqld, Target, Tool, Workspace, process::free_port};

static TOKEN: Canary = Canary(LazyLock::new(|| format!("canary-token-7f3a91c4-{}", std::process::id())));
/// Needs percent encoding in a URL, so that both forms are looked for.
static PASSWORD: Canary = Canary(LazyLock::new(|| format!("canary/password/5be0/{}", std::process::id())));
static ENCODED: Canary = Canary(LazyLock::new(|| PASSWORD.replace('/', "%2F")));
static ROW: Canary = Canary(LazyLock::new(|| format!("canary-row-value-c81d-{}", std::process::id())));

/// A word that this test process alone uses: the process list shows other people's tests too.
struct Canary(LazyLock<String>);

impl std::fmt::Display for Canary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

impl std::ops::Deref for Canary {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Watches the process list and collects what must not be seen.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    task: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(secrets: Vec<String>) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
        let (stopped, found) = (Arc::clone(&stop), Arc::clone(&seen));
        let task = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let Ok(bytes) = std::fs::read(entry.path().join("cmdline")) else { continue };
                    let line = String::from_utf8_lossy(&bytes);
                    if secrets.iter().any(|secret| line.contains(secret)) {
                        found.lock().unwrap().insert(line.replace('\0', " "));
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, seen, task }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.join().unwrap();
        let seen = self.seen.lock().unwrap();
        assert!(seen.is_empty(), "the process list shows secrets: {seen:?}");
    }
}

/// All canaries, and every run so far that must not show one.
struct Canaries {
    secrets: Vec<String>,
    runs: usize,
}

impl Canaries {
    fn check(&mut self, run: &Run) {
        self.runs += 1;
        for secret in &self.secrets {
            for (place, text) in [("standard output", &run.stdout), ("standard error", &run.stderr)] {
                assert!(!text.contains(secret), "{place} of {} shows {secret}:\n{text}", run.args[0].display());
            }
        }
    }

    /// Runs the call in its plain and in its JSON form at full verbosity.
    #[track_caller]
    fn fails(&mut self, call: impl Fn() -> Tool, exit: &[i32]) {
        for form in [&["-v", "-v"][..], &["-v", "-v", "--json"]] {
            let run = call().args(form).run();
            assert!(run.code().is_some_and(|code| exit.contains(&code)), "{exit:?} was expected: {run:?}");
            self.check(&run);
        }
    }

    #[track_caller]
    fn succeeds(&mut self, call: impl Fn() -> Tool) {
        self.fails(call, &[0]);
    }

    /// Reads every file below DIR except the data artifacts.
    fn check_files(&self, directory: &Path) {
        let mut files = 0;
        let mut folders = vec![directory.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() && name != "pgdata" {
                    folders.push(path);
                } else if path.is_file() && !(name.starts_with("source.db") && folder.ends_with("dump")) {
                    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                    for secret in &self.secrets {
                        assert!(!text.contains(secret), "{} shows {secret}", path.display());
                    }
                    files += 1;
                }
            }
        }
        assert!(files > 0, "there is nothing in {}", directory.display());
    }
}

/// Values that every stage has a reason to complain about, each holding the canary.
fn complaints() -> String {
    format!(
        "PRAGMA foreign_keys = OFF; \
         CREATE TABLE parent (name TEXT PRIMARY KEY); \
         CREATE TABLE moan (id INTEGER PRIMARY KEY, whole INTEGER, day DATE, short VARCHAR(5), doc JSON, raw TEXT, \
             parent TEXT REFERENCES parent(name), price DECIMAL(4,2) CHECK (price < 100), yes BOOLEAN); \
         INSERT INTO moan VALUES (1, '{ROW}', '{ROW}', '{ROW}', '{ROW}', '{ROW}' || char(0) || 'x', '{ROW}', 99, '{ROW}'), \
             (2, 2, '2024-01-01', 'ok', '{{}}', 'fine', NULL, 1, 1); \
         CREATE TABLE keyed (name TEXT PRIMARY KEY COLLATE NOCASE, b BLOB); \
         INSERT INTO keyed VALUES ('{ROW}', CAST('{ROW}' AS BLOB)), (NULL, NULL), (NULL, 1)"
    )
}

struct Stage {
    source: Sqld,
    target: Target,
    workspace: Workspace,
    token: String,
    canaries: Canaries,
}

impl Stage {
    fn set() -> Self {
        let (source, target, workspace) = (Sqld::start(), Target::start(), Workspace::new());
        source.execute(&complaints());
        let role = format!("canary_{}", target.database());
        target.query(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' CREATEDB IN ROLE neon_superuser; \
             ALTER DATABASE {} OWNER TO {role}",
            target.database()
        ));
        let token = source.sign(&serde_json::json!({"a": "ro", "exp": 4_000_000_000_u64}));
        let signature = token.rsplit('.').next().unwrap().to_owned();
        let secrets = [&*TOKEN, &*PASSWORD, &*ENCODED, &*ROW, &signature].map(str::to_owned).to_vec();
        Self { source, target, workspace, token, canaries: Canaries { secrets, runs: 0 } }
    }

    /// The target's connection string with the canary as the password.
    fn target_url(&self) -> String {
        let role = format!("canary_{}", self.target.database());
        self.target.url().replace(
            &format!("{}:{}@", crate::support::target::OWNER, crate::support::target::PASSWORD),
            &format!("{role}:{ENCODED}@"),
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let role = format!("canary_{}", self.target.database());
            self.target.query(&format!("REASSIGN OWNED BY {role} TO owner; DROP OWNED BY {role}; ALTER DATABASE {} OWNER TO owner; DROP ROLE {role}", self.target.database()));
        }
    }
}

#[test]
fn no_secret_and_no_value_is_seen_while_commands_fail() {
    let mut stage = Stage::set();
    let watch = Watch::start(stage.canaries.secrets.clone());
    dump_fails_and_succeeds(&mut stage);
    plan_and_convert_fail_and_succeed(&mut stage);
    push_and_verify_fail_and_succeed(&mut stage);
    watch.end();
    stage.canaries.check_files(&stage.workspace.dir());
    println!("{} calls showed nothing", stage.canaries.runs);
}

fn dump_fails_and_succeeds(stage: &mut Stage) {
    let (workspace, canaries) = (&stage.workspace, &mut stage.canaries);
    let url = stage.source.url();
    let dump = |source: &str, token: &str| {
        workspace.tool("dump").env("TURSO_DATABASE_URL", source).env("TURSO_AUTH_TOKEN", token)
    };
    canaries.fails(|| dump(&url, &TOKEN), &[3]);
    canaries.fails(|| dump(&format!("{url}?authToken={TOKEN}"), ""), &[2, 3]);
    canaries.fails(|| dump(&format!("{url}/?authToken={TOKEN}&tls=maybe"), ""), &[2, 3]);
    canaries.fails(|| dump(&format!("http://127.0.0.1:{}?authToken={TOKEN}", free_port()), ""), &[3]);
    canaries.fails(|| dump(&format!("http://user:{ENCODED}@127.0.0.1:{}", free_port()), &TOKEN), &[2, 3]);
    canaries.fails(|| dump(&format!("gopher://x?authToken={TOKEN}"), ""), &[2, 3]);
    canaries.fails(|| dump(&format!("libsql://[{TOKEN}"), ""), &[2, 3]);
    // A token with a line break can't be sent.
    canaries.fails(|| dump(&url, &format!("{TOKEN}\nx")), &[2, 3]);
    let file = workspace.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let from_file = || workspace.tool("dump").env("TURSO_DATABASE_URL", &url).arg("--auth-token-file");
    canaries.fails(|| from_file().arg(&file), &[3]);
    canaries.fails(|| from_file().arg("-").stdin(format!("{TOKEN}\n")), &[3]);
    canaries.fails(
        || workspace.tool("doctor").env("TURSO_DATABASE_URL", &url).env("TURSO_AUTH_TOKEN", &*TOKEN),
        &[1, 2, 3, 7],
    );
    let token = stage.token.clone();
    canaries.succeeds(|| dump(&url, &token).arg("--fresh"));
    let in_url = format!("{url}?authToken={token}");
    canaries.succeeds(|| dump(&in_url, ""));
    canaries.check_files(&workspace.dir());
}

fn plan_and_convert_fail_and_succeed(stage: &mut Stage) {
    let (workspace, canaries) = (&stage.workspace, &mut stage.canaries);
    let config = workspace.path().join("turso2neon.toml");
    std::fs::write(&config, "[columns.\"moan.raw\"]\nbad_text = \"fail\"\n").unwrap();
    canaries.fails(|| workspace.tool("plan"), &[1, 5]);
    canaries.fails(|| workspace.tool("convert"), &[1, 5]);
    for format in ["json", "md", "sql", "text"] {
        let run = workspace.tool("plan").args(["--format", format, "-v", "-v"]).run();
        canaries.check(&run);
    }
    canaries.succeeds(|| workspace.tool("plan").args(["--explain", "moan"]));
    for column in ["id", "whole", "day", "short", "doc", "raw", "parent", "price", "yes"] {
        canaries.succeeds(|| workspace.tool("plan").args(["--explain", &format!("moan.{column}")]));
    }
    canaries.fails(|| workspace.tool("plan").args(["--explain", "nothing.here"]), &[2]);
    let local = format!("postgresql://owner:{ENCODED}@127.0.0.1:{}/local", free_port());
    let accept = ["--accept", "all"];
    canaries.fails(|| workspace.tool("convert").args(accept).env("TURSO2NEON_LOCAL_URL", &local), &[6]);
    let nonsense = format!("postgresql://owner:{ENCODED}@[127.0.0.1:port/local?sslmode=perhaps");
    canaries.fails(|| workspace.tool("convert").args(accept).env("TURSO2NEON_LOCAL_URL", &nonsense), &[2, 6]);
    // A configuration file whose broken line holds a secret.
    let config = workspace.path().join("broken.toml");
    for line in
        [format!("target = \"postgresql://o:{ENCODED}@h/d"), format!("source = [\"{TOKEN}\""), format!("{TOKEN} = 1")]
    {
        std::fs::write(&config, line + "\n").unwrap();
        // A name that nobody knows is no secret; a value is.
        let call = || workspace.tool("plan").arg("--config").arg(&config);
        let run = call().args(["-v", "-v"]).run().expect_exit(2);
        if !run.stderr.contains("unknown") {
            canaries.check(&run);
        }
    }
    canaries.fails(|| workspace.tool("convert").args(accept), &[5]);
    let decision = "[columns.\"moan.raw\"]\ntype = \"bytea\"\n";
    std::fs::write(workspace.path().join("turso2neon.toml"), decision).unwrap();
    canaries.succeeds(|| workspace.tool("convert").args(accept));
    canaries.succeeds(|| workspace.tool("convert").args(accept).arg("--fresh"));
    canaries.check_files(&workspace.dir());
}

fn push_and_verify_fail_and_succeed(stage: &mut Stage) {
    let url = stage.target_url();
    let (workspace, canaries, target) = (&stage.workspace, &mut stage.canaries, &stage.target);
    let call = |command: &str, url: &str| workspace.tool(command).env("NEON_DATABASE_URL", url);
    let local = format!("localhost:{}", target.port());
    let failures = [
        (url.replace("canary_", "nobody_"), vec![7]),
        (url.replace(target.database(), "nowhere"), vec![7]),
        (url.replace(&local, &format!("localhost:{}", free_port())), vec![7]),
        (url.replace("/ca.pem", "/foreign.pem"), vec![7]),
        (url.replace("/ca.pem", "/missing.pem"), vec![2, 7]),
        (url.replace(&local, "localhost:many"), vec![2]),
        (url.replace("sslmode=verify-full", "sslmode=perhaps"), vec![2]),
        (url.replace("postgresql://", "mysql://"), vec![2]),
        (url.replace('@', "@@"), vec![2, 7]),
        (format!("host=127.0.0.1 port={} user=x password='{PASSWORD}", target.port()), vec![2]),
        (format!("host=127.0.0.1 port={} user=x dbname=y password={PASSWORD}", target.port()), vec![2, 7]),
    ];
    for (wrong, exit) in &failures {
        canaries.fails(|| call("push", wrong), exit);
    }
    canaries.succeeds(|| call("push", &url).arg("--dry-run"));
    canaries.succeeds(|| call("push", &url));
    canaries.succeeds(|| call("verify", &url));
    target.query("UPDATE moan SET raw = raw || 'y' WHERE id = 1; UPDATE keyed SET b = NULL");
    for level in ["digest", "full"] {
        canaries.fails(|| call("verify", &url).args(["--against", "target", "--level", level]), &[1]);
    }
    for command in ["status", "report", "doctor"] {
        canaries.fails(|| call(command, &url), &[0, 1, 2, 3]);
    }
    target.query("DROP TABLE moan");
    canaries.fails(|| call("verify", &url).args(["--against", "target"]), &[1, 7, 8]);
}

#[test]
fn a_secret_typed_in_the_wrong_place_is_not_repeated() {
    let workspace = Workspace::new();
    // Words of their own: what is typed is in the process list, which the other test watches.
    let (token, password) = ("stray-token-90ab", "stray%2Fpassword%2F77c1");
    let url = format!("postgresql://owner:{password}@localhost/shop");
    let broken = format!("postgresql://owner:{password}@localhost:many/shop");
    for args in [
        vec!["push", &url],
        vec!["push", "--mode", &url],
        vec!["push", "--target", &broken],
        vec!["push", "--jobs", &url],
        vec!["dump", "--method", token],
        vec!["dump", "--auth-token", token],
        vec!["verify", "--level", &url],
        vec!["--color", &url, "run"],
        vec![&url],
    ] {
        let run = Tool::new(&args).current_dir(workspace.path()).run();
        assert!(matches!(run.code(), Some(2 | 4)), "{run:?}");
        let said = run.stdout.clone() + &run.stderr;
        for secret in [token, password, &password.replace("%2F", "/")] {
            assert!(!said.contains(secret), "{args:?}: {said}");
        }
    }
    let help = Tool::new(["run", "--help"]).env("TURSO_AUTH_TOKEN", token).env("NEON_DATABASE_URL", &url);
    let help = help.run().expect_exit(0);
    assert!(!help.stdout.contains(token) && !help.stdout.contains(password), "{}", help.stdout);
}
