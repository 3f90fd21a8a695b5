//! Server processes that can't outlive the test process, and small waits.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Ends the server and removes its directory when its standard input closes, that is when the test process is gone.
const WATCH: &str = r#"trap '' INT TERM
read -r _
kill -QUIT "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -KILL "$1" 2>/dev/null
rm -rf -- "$2"
"#;

/// A running server with a directory of its own, both gone when this is dropped or when the test process ends,
/// however it ends.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    watcher: Child,
    directory: PathBuf,
    stop: Signal,
    stopped: bool,
}

impl Server {
    /// Starts the server; its output goes to `directory/server.log`. `stop` is the signal that ends it in order.
    pub(crate) fn spawn(name: &'static str, command: &mut Command, directory: &Path, stop: Signal) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_file(directory)).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|cause| panic!("{name} can't be started: {cause}; scripts/setup installs it"));
        let watcher = Command::new("sh")
            .args(["-c", WATCH, "watch", &child.id().to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { name, child, watcher, directory: directory.to_owned(), stop, stopped: false }
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says yes. Says no if the server ended instead, so that the caller can choose another port.
    pub(crate) fn wait_ready(&mut self, ready: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if ready() {
                return true;
            }
            assert!(Instant::now() < deadline, "{} isn't ready after 60 s:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the server has written.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(log_file(&self.directory)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends the server in order and keeps its directory.
    pub(crate) fn stop(&mut self) {
        self.end(self.stop);
    }

    /// Ends the server by another signal and keeps its directory.
    pub(crate) fn stop_by(&mut self, signal: Signal) {
        self.end(signal);
    }

    /// Ends the server as a power loss would.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        // The watcher first: from here on the process id is this struct's business alone.
        self.watcher.kill().ok();
        self.watcher.wait().ok();
        send(self.child.id(), signal);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                self.child.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A directory that is removed when dropped, after the server in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A new private directory below the system's temporary directory.
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("t2n-").tempdir().unwrap().keep())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("server.log")
}

/// Sends a signal to a process that this test process started.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).ok();
}

/// A TCP port on loopback that nobody listens on at present.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a program to its end and gives its standard output; stops the test with its standard error if it fails.
pub(crate) fn must_run(command: &mut Command) -> Vec<u8> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|cause| panic!("{program} can't be started: {cause}; scripts/setup installs it"));
    assert!(output.status.success(), "{program} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Waits for a future on a runtime and thread of its own, so that it works in plain and in async tests.
pub(crate) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let task = scope
            .spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future));
        match task.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
