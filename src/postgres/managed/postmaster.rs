//! The server process of one data directory: found by its `postmaster.pid`, started, stopped.
//!
//! Only a process that is proved to be the postmaster of this very directory is ever signalled.

use std::{
    fs,
    io::Read,
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio_postgres::error::SqlState;

use super::{binaries::Binaries, data_dir::SOCKET_NAME, os_user::OsUser, server_config::remove_if_there};
use crate::{
    error::{Error, Kind, Result},
    file_access,
};

/// How long a start may take: recovery after a crash included.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a clean stop may take: it writes what is in memory.
const STOP_TIMEOUT: Duration = Duration::from_secs(180);

/// How long the backends of a killed postmaster may take to notice.
const ORPHANS_TIMEOUT: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(5);

/// A server that runs.
#[derive(Debug)]
pub(super) struct Postmaster {
    pgdata: PathBuf,
    pid: Pid,
    /// Where its socket is.
    pub(super) socket_dir: PathBuf,
    /// The process itself, if this process started it.
    child: Option<Child>,
}

impl Postmaster {
    /// The server that runs on this data directory, whoever started it.
    pub(super) fn find(pgdata: &Path) -> Option<Self> {
        let file = PidFile::read(pgdata)?;
        let is_of_cluster = is_postmaster_of(file.pid, pgdata, &file.socket_dir);
        is_of_cluster.then(|| Self {
            pgdata: pgdata.to_path_buf(),
            pid: file.pid,
            socket_dir: file.socket_dir,
            child: None,
        })
    }

    /// Starts the server, with the settings that are in its directory, and waits until it takes connections. Nobody
    /// else uses its socket's directory.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) fn start(
        binaries: &Binaries,
        pgdata: &Path,
        socket_dir: &Path,
        os_user: Option<&OsUser>,
        log: &Path,
    ) -> Result<Self> {
        let began = Instant::now();
        loop {
            match Self::try_start(binaries, pgdata, socket_dir, os_user, log)? {
                StartOutcome::Ready(postmaster) => return Ok(postmaster),
                // Backends of a postmaster that was killed hold its shared memory until they notice.
                StartOutcome::OrphansLeft if began.elapsed() < ORPHANS_TIMEOUT => {
                    thread::sleep(Duration::from_millis(250));
                }
                StartOutcome::OrphansLeft => {
                    return Err(failed("backends of a killed server still run on its data directory"));
                }
            }
        }
    }

    fn try_start(
        binaries: &Binaries,
        pgdata: &Path,
        socket_dir: &Path,
        os_user: Option<&OsUser>,
        log: &Path,
    ) -> Result<StartOutcome> {
        remove_stale(pgdata, socket_dir)?;
        let (output, log_from) = open_log(log)?;
        let errors = output.try_clone().map_err(|cause| Error::io(Kind::LocalUnreachable, "opening", log, &cause))?;
        let mut command = binaries.command("postgres", os_user);
        // A group of its own: Ctrl-C at the terminal is for the tool, which stops the server in good order.
        command.arg("-D").arg(pgdata).stdout(output).stderr(errors).process_group(0);
        let mut child = command
            .spawn()
            .map_err(|cause| Error::io(Kind::LocalUnreachable, "starting", &binaries.bin.join("postgres"), &cause))?;
        let pid = Pid::from_child(&child);
        let began = Instant::now();
        loop {
            if let Some(file) = PidFile::read(pgdata).filter(|file| file.pid == pid && file.ready) {
                return Ok(StartOutcome::Ready(Self {
                    pgdata: pgdata.to_path_buf(),
                    pid,
                    socket_dir: file.socket_dir,
                    child: Some(child),
                }));
            }
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                let written = log_since(log, log_from);
                let Some((sqlstate, words)) = last_failure(&written) else {
                    return Err(failed("the server didn't start"));
                };
                // The files of an earlier server are gone, so that only its shared memory can be in the way.
                if sqlstate == SqlState::LOCK_FILE_EXISTS.code() {
                    return Ok(StartOutcome::OrphansLeft);
                }
                let error = failed(&format!("the server didn't start: {words}"));
                // Before the configuration is read there is something else in its place.
                let is_state = sqlstate.len() == 5 && sqlstate.bytes().all(|byte| byte.is_ascii_alphanumeric());
                return Err(if is_state { error.with_sqlstate(SqlState::from_code(sqlstate)) } else { error });
            }
            if began.elapsed() > START_TIMEOUT {
                kill_process(pid, Signal::QUIT).ok();
                child.wait().ok();
                return Err(failed("the server didn't take connections in time"));
            }
            thread::sleep(POLL);
        }
    }

    /// Stops the server in good order (PostgreSQL's "fast" shutdown) and waits for its end.
    ///
    /// # Errors
    /// `LocalUnreachable` if it doesn't end.
    pub(super) fn stop(&mut self) -> Result<()> {
        kill_process(self.pid, Signal::INT).ok();
        let began = Instant::now();
        while !self.has_ended() {
            if began.elapsed() > STOP_TIMEOUT {
                return Err(failed(&format!("the server (process {}) doesn't stop", self.pid.as_raw_nonzero())));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            // Its last deed is to remove the file. It may linger as a zombie where nobody waits for orphans.
            None => {
                PidFile::read(&self.pgdata).is_none_or(|file| file.pid != self.pid)
                    || test_kill_process(self.pid).is_err()
            }
        }
    }
}

/// What a crashed server left names a process that is gone, or another program's by now, or a zombie that nobody waits
/// for; a new server would believe that it still runs.
fn remove_stale(pgdata: &Path, socket_dir: &Path) -> Result<()> {
    let lock = format!("{SOCKET_NAME}.lock");
    for path in [pgdata.join("postmaster.pid"), socket_dir.join(SOCKET_NAME), socket_dir.join(lock)] {
        remove_if_there(&path)
            .map_err(|cause| Error::io(Kind::LocalUnreachable, "removing the stale", &path, &cause))?;
    }
    Ok(())
}

enum StartOutcome {
    Ready(Postmaster),
    OrphansLeft,
}

/// `postmaster.pid` (PostgreSQL `miscadmin.h`): pid, directory, start, port, socket directory, address, memory, state.
struct PidFile {
    pid: Pid,
    socket_dir: PathBuf,
    ready: bool,
}

impl PidFile {
    fn read(pgdata: &Path) -> Option<Self> {
        let text = file_access::read_to_string(&pgdata.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = Pid::from_raw(lines.next()?.trim().parse().ok()?)?;
        let socket_dir = PathBuf::from(lines.nth(3).unwrap_or_default());
        let ready = lines.nth(2).is_some_and(|state| state.trim() == "ready");
        Some(Self { pid, socket_dir, ready })
    }
}

/// The postmaster's working directory is its data directory. Where the system doesn't tell, a socket that answers
/// proves that the file isn't stale.
fn is_postmaster_of(pid: Pid, pgdata: &Path, socket_dir: &Path) -> bool {
    if Path::new("/proc/self/cwd").exists() {
        let process = PathBuf::from(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
        return match (fs::read_link(process), fs::canonicalize(pgdata)) {
            (Ok(cwd), Ok(pgdata)) => cwd == pgdata,
            (Err(_), _) | (_, Err(_)) => false,
        };
    }
    UnixStream::connect(socket_dir.join(SOCKET_NAME)).is_ok()
}

fn open_log(path: &Path) -> Result<(fs::File, usize)> {
    let opened = file_access::append(path).and_then(|file| file.metadata().map(|facts| (file, facts.len())));
    let (file, length) = opened.map_err(|cause| Error::io(Kind::ArtifactIo, "opening", path, &cause))?;
    Ok((file, usize::try_from(length).unwrap_or(0)))
}

fn log_since(path: &Path, from: usize) -> String {
    let mut bytes = Vec::new();
    // A log that cannot be read has no reason in it.
    file_access::read(path).and_then(|mut file| file.read_to_end(&mut bytes)).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

/// The server's own reason for not starting: SQLSTATE and words. It speaks of files, ports and memory, as there is no
/// data yet to speak of. Before the configuration is read, lines have no SQLSTATE.
fn last_failure(log: &str) -> Option<(&str, &str)> {
    let (prefix, words) = log.lines().rev().find_map(|line| line.split_once("FATAL:  "))?;
    Some((prefix.split_ascii_whitespace().next_back().unwrap_or_default(), words))
}

fn failed(what: &str) -> Error {
    Error::new(Kind::LocalUnreachable, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_for_not_starting_has_its_sqlstate() {
        let log = "2026-01-01 00:00:00.000 UTC [7] 00000 LOG:  starting PostgreSQL\n\
                   2026-01-01 00:00:00.001 UTC [7] F0001 FATAL:  pre-existing shared memory block is still in use\n\
                   2026-01-01 00:00:00.001 UTC [7] 00000 LOG:  database system is shut down\n";
        assert_eq!(last_failure(log), Some(("F0001", "pre-existing shared memory block is still in use")));
        assert_eq!(
            last_failure("postgres: FATAL:  data directory is gone"),
            Some(("postgres:", "data directory is gone"))
        );
        assert_eq!(last_failure("LOG:  starting"), None);
    }

    #[test]
    fn a_stale_pid_file_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Postmaster::find(directory.path()).is_none());
        // This process is alive, but no postmaster of that directory.
        let text = format!("{}\n/x\n1\n5432\n/tmp\n\n  1 2\nready   \n", std::process::id());
        fs::write(directory.path().join("postmaster.pid"), text).unwrap();
        assert!(PidFile::read(directory.path()).is_some_and(|file| file.ready && file.socket_dir == Path::new("/tmp")));
        assert!(Postmaster::find(directory.path()).is_none());
    }
}
