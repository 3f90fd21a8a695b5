//! The server's settings: one file, included by `postgresql.conf`, rewritten before each start.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, unlinkat},
    io::Errno,
};

use super::os_user::open_directory;
use crate::{
    error::{Error, Kind, Result},
    file_access,
};

/// The file in the data directory.
pub(super) const FILE: &str = "turso2neon.conf";

/// What the server is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerPurpose {
    /// Fast and not durable: whatever is torn by a crash is loaded anew.
    Load,
    /// Durable.
    Read,
}

/// Nothing listens on TCP. No statement and no value reaches the log: neither statements nor errors are logged, and
/// `terse` leaves out DETAIL. Each line has its SQLSTATE, which `postmaster` reads. `jit` costs more than it saves on
/// digests. Parallel index builds gain nothing beyond two workers and 64 MB.
const COMMON: &str = "\
listen_addresses = ''
port = 5432
unix_socket_permissions = 0700
ssl = off
max_connections = 64
shared_buffers = 128MB
huge_pages = off
maintenance_work_mem = 64MB
max_parallel_maintenance_workers = 2
max_locks_per_transaction = 256
wal_level = minimal
max_wal_senders = 0
max_wal_size = 1GB
checkpoint_timeout = 30min
jit = off
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %e '
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_statement = none
log_duration = off
log_checkpoints = off
log_connections = off
log_disconnections = off
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_autovacuum_min_duration = -1
";

const LOAD: &str = "\
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
";

const READ: &str = "\
fsync = on
synchronous_commit = on
full_page_writes = on
autovacuum = on
";

/// Writes the file for a purpose.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) fn write(pgdata: &Path, purpose: ServerPurpose, socket_dir: &Path) -> Result<()> {
    let special = match purpose {
        ServerPurpose::Load => LOAD,
        ServerPurpose::Read => READ,
    };
    let sockets = socket_dir.to_string_lossy();
    replace(pgdata, FILE, format!("{COMMON}{special}unix_socket_directories = '{sockets}'\n").as_bytes())
}

/// Makes `postgresql.conf` include the file.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) fn include(pgdata: &Path) -> Result<()> {
    let path = pgdata.join("postgresql.conf");
    let write = |mut file: File| {
        file.seek(SeekFrom::End(0))?;
        writeln!(file, "\ninclude = '{FILE}'")
    };
    file_access::change(&path)
        .and_then(write)
        .map_err(|cause| Error::io(Kind::LocalUnreachable, "writing", &path, &cause))
}

/// Replaces a file in the data directory by a new one with the directory's owner, synced. The directory may belong to
/// another account than this process's, so that a link there must not be followed.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) fn replace(pgdata: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = pgdata.join(name);
    write_new(pgdata, name, bytes).map_err(|cause| Error::io(Kind::LocalUnreachable, "writing", &path, &cause))
}

fn write_new(pgdata: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = open_directory(pgdata)?;
    match unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(cause) => return Err(cause.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&directory, name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(bytes)?;
    let owner = directory.metadata()?;
    fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    file.sync_all()?;
    directory.sync_all()
}

/// Removes a file; it may be gone already.
///
/// # Errors
/// Any other failure.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        answer => answer,
    }
}
