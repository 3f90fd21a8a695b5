//! The tool as a user starts it: a process with a clean environment, a home of its own and a time limit.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The binary under test.
pub(crate) fn bin() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_turso2neon"))
}

/// One call of the tool.
pub(crate) struct Tool {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    timeout: Duration,
    home: tempfile::TempDir,
}

impl Tool {
    /// A call with these arguments.
    pub(crate) fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            env: Vec::new(),
            directory: None,
            stdin: Vec::new(),
            timeout: Duration::from_secs(120),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Another value for a flag that was given already.
    pub(crate) fn replace(mut self, flag: &str, value: impl AsRef<OsStr>) -> Self {
        let at = self.args.iter().position(|arg| arg == flag).unwrap_or_else(|| panic!("{flag} wasn't given"));
        value.as_ref().clone_into(&mut self.args[at + 1]);
        self
    }

    /// One more variable of the environment.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The current directory; without this the tool's home.
    pub(crate) fn current_dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// What the tool reads from standard input; without this it is empty.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may take; without this two minutes.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts it.
    pub(crate) fn spawn(self) -> Running {
        let started = Instant::now();
        let mut child = Command::new(bin())
            .args(&self.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            // The system's authorities: not needed here, and read for longer than many a command takes.
            .env("SSL_CERT_FILE", "/dev/null")
            .env("HOME", self.home.path())
            // What `initdb` makes is kept there, so that it need not be run for each test.
            .env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.as_deref().unwrap_or_else(|| self.home.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|cause| panic!("{} can't be started: {cause}", bin().display()));
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin.clone();
        // The tool need not read its standard input.
        std::thread::spawn(move || stdin.write_all(&bytes).ok());
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Running { child: Some(child), stdout, stderr, started, call: self }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Run {
        self.spawn().wait()
    }
}

/// A call that is under way. Killed when dropped.
pub(crate) struct Running {
    child: Option<Child>,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    started: Instant,
    call: Tool,
}

impl Running {
    /// The tool's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Asks it to stop, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        super::process::send(self.pid(), signal);
    }

    /// Ends it as a power loss would, unless it has ended already.
    pub(crate) fn kill(mut self) -> Run {
        self.child.as_mut().unwrap().kill().ok();
        self.wait()
    }

    /// Waits for its end; stops the test if that takes too long.
    pub(crate) fn wait(mut self) -> Run {
        let mut child = self.child.take().unwrap();
        let deadline = self.started + self.call.timeout;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                child.kill().ok();
                child.wait().ok();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let elapsed = self.started.elapsed();
        let stdout = collected(&mut self.stdout, &self.call.args);
        let stderr = collected(&mut self.stderr, &self.call.args);
        let Some(status) = status else {
            panic!(
                "{:?} hasn't ended after {:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                self.call.args, self.call.timeout
            );
        };
        Run { args: std::mem::take(&mut self.call.args), status, stdout, stderr, elapsed }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Run {
    /// The arguments.
    pub(crate) args: Vec<OsString>,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// The answer.
    pub(crate) stdout: String,
    /// The narration.
    pub(crate) stderr: String,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Run {
    /// The exit code; none if a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it, if one did.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Stops the test with everything the tool said unless the exit code is this one.
    #[track_caller]
    pub(crate) fn expect_exit(self, code: i32) -> Self {
        assert!(
            self.code() == Some(code),
            "{:?} ended with {} instead of exit code {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.args,
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Stops the test unless standard error or standard output holds this text.
    #[track_caller]
    pub(crate) fn expect_text(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "{:?} doesn't say {text:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.args,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output as JSON Lines.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|_| panic!("{:?} printed no JSON: {line}", self.args))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The last of the JSON Lines: the `result` or the `error`.
    #[track_caller]
    pub(crate) fn last_json(&self) -> Value {
        self.json_lines().pop().unwrap_or_else(|| panic!("{:?} printed nothing\n{}", self.args, self.stderr))
    }
}

/// What a pipe held. A process that the tool left behind may keep its own life, but not the tool's output: a shell
/// or a CI job would wait for it forever.
fn collected(task: &mut JoinHandle<Vec<u8>>, args: &[OsString]) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !task.is_finished() {
        assert!(Instant::now() < deadline, "{args:?} has ended, but something that it started holds its output");
        std::thread::sleep(Duration::from_millis(2));
    }
    let bytes = std::mem::replace(task, std::thread::spawn(Vec::new)).join().unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).ok();
        bytes
    })
}
