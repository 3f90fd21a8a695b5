//! One data directory through its life: made, loaded, made durable, read, wiped.
//!
//! Invariant: while the server runs without fsync, the file `turso2neon.loading` is in the data directory, with the
//! identity of the machine's present boot. A directory with that file is good for continuing only if its server runs,
//! or has been shut down cleanly since the same boot; else parts of it may be missing on disk, and it is wiped.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    LocalChoice,
    binaries::Binaries,
    data_dir::{self, DataDir},
    os_user::OsUser,
    postmaster::Postmaster,
    server_config::{self, ServerPurpose},
    shortage,
    template::Template,
};
use crate::{
    error::{Error, Kind, Result},
    file_access, program,
    workdir::{Workdir, atomic},
};

/// The extension of clusters that `initdb` isn't done with.
const UNFINISHED: &str = "new";

const LOADING: &str = "turso2neon.loading";

/// Left by `--keep-running`: the next command leaves the server running too.
const KEPT: &str = "turso2neon.kept";

/// The superuser of the cluster, who exists only behind its private socket.
pub(super) const USER: &str = "turso2neon";

/// The locale of text columns: byte order, as SQLite sorts, with Unicode's letters where the system has it.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// A cluster whose server runs. Dropping it stops the server unless it is to be kept.
pub(super) struct RunningCluster {
    binaries: Binaries,
    place: DataDir,
    os_user: Option<OsUser>,
    log: PathBuf,
    postmaster: Option<Postmaster>,
    /// Removes what earlier loads left.
    removal: Option<std::thread::JoinHandle<()>>,
    keep: bool,
}

/// What is found at a place.
#[derive(Debug, PartialEq, Eq)]
enum ClusterState {
    /// Nothing that can be used.
    Absent,
    /// Loading was begun and can be continued.
    Loading,
    /// Loading was begun, and a crash may have torn it.
    Torn,
    /// Durable.
    Durable,
}

impl RunningCluster {
    /// Starts the server for loading: the cluster that is there if it can be continued, else a new one.
    ///
    /// # Errors
    /// `LocalMissing`, `LocalUnreachable`, `ArtifactIo`.
    pub(super) fn for_load(workdir: &Workdir, choice: &LocalChoice) -> Result<Self> {
        let pg_bin = choice.pg_bin.as_deref();
        let cache = choice.cache.as_deref();
        let newest = Binaries::newest(pg_bin, cache)?;
        let os_user = OsUser::of_server()?;
        let place = DataDir::prepare(workdir, os_user.as_ref())?;
        let log = workdir.root().join("convert/postgres.log");
        if let Some(os_user) = os_user.as_ref().filter(|_| place.pgdata.exists()) {
            os_user.give_all(&place.pgdata)?;
        }
        let of_directory = major_of(&place.pgdata).and_then(|major| Binaries::of_major(pg_bin, cache, major).ok());
        let condition = match &of_directory {
            Some(binaries) => condition(&place.pgdata, binaries, os_user.as_ref()),
            None => ClusterState::Absent,
        };
        if matches!(condition, ClusterState::Absent | ClusterState::Torn) {
            set_aside(&place)?;
            create(&newest, &place, os_user.as_ref(), cache)?;
        }
        let binaries = of_directory.filter(|_| matches!(condition, ClusterState::Loading | ClusterState::Durable));
        let keep = choice.keep_running;
        let mut running =
            Self { binaries: binaries.unwrap_or(newest), place, os_user, log, postmaster: None, removal: None, keep };
        running.postmaster = Postmaster::find(&running.place.pgdata);
        if condition == ClusterState::Loading && running.postmaster.is_some() {
            return Ok(running);
        }
        running.stop()?;
        server_config::replace(&running.place.pgdata, LOADING, boot_identity().unwrap_or_default().as_bytes())?;
        running.start(ServerPurpose::Load)?;
        // Also where an earlier load had its cluster.
        let places = [DataDir::inside(workdir), DataDir::outside(workdir, String::new())];
        running.removal = Some(std::thread::spawn(move || places.iter().for_each(remove_leftovers)));
        Ok(running)
    }

    /// Starts the server that was loaded, or takes the one that runs.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactStale`, `LocalMissing`, `LocalUnreachable`.
    pub(super) fn for_reading(workdir: &Workdir, place: DataDir, choice: &LocalChoice) -> Result<Self> {
        let pgdata = &place.pgdata;
        if !place.is_of(workdir) {
            let what = "convert/checkpoint.json names a data directory where this tool creates none";
            return Err(Error::new(Kind::ArtifactDamaged, what).with_hint("run `turso2neon convert --fresh`"));
        }
        let Some(major) = major_of(pgdata) else {
            return Err(Error::new(Kind::ArtifactMissing, format!("there is no data directory {}", pgdata.display()))
                .with_hint("run `turso2neon convert`"));
        };
        if pgdata.join(LOADING).exists() {
            return Err(Error::new(Kind::ArtifactStale, "the local PostgreSQL is in the middle of a load")
                .with_hint("run `turso2neon convert` to finish it"));
        }
        let os_user = OsUser::of_server()?;
        if let Some(os_user) = &os_user {
            if pgdata.starts_with(workdir.root()) && !data_dir::reach(workdir, os_user)? {
                let what = format!("{} can't reach {}", os_user.name, pgdata.display());
                return Err(Error::new(Kind::LocalUnreachable, what)
                    .with_hint("move the directory given by --dir, or run `turso2neon convert --fresh`"));
            }
            os_user.give_all(pgdata)?;
        }
        let binaries = Binaries::of_major(choice.pg_bin.as_deref(), choice.cache.as_deref(), major)?;
        let keep = choice.keep_running || pgdata.join(KEPT).exists();
        let log = workdir.root().join("convert/postgres.log");
        workdir.subdir("convert")?;
        let postmaster = Postmaster::find(pgdata);
        let mut running = Self { binaries, place, os_user, log, postmaster, removal: None, keep };
        if running.postmaster.is_none() {
            running.start(ServerPurpose::Read)?;
        }
        Ok(running)
    }

    /// Where the cluster is.
    pub(super) fn place(&self) -> &DataDir {
        &self.place
    }

    /// The server's version.
    pub(super) fn version(&self) -> &str {
        &self.binaries.version
    }

    /// The directory of its socket.
    ///
    /// # Errors
    /// `LocalUnreachable` if it doesn't run.
    pub(super) fn socket_dir(&self) -> Result<&Path> {
        let running = self.postmaster.as_ref().map(|postmaster| postmaster.socket_dir.as_path());
        running.ok_or_else(|| Error::new(Kind::LocalUnreachable, "the managed PostgreSQL is not running"))
    }

    /// Ends a load: stops the server, brings all its files to disk, and only then calls the cluster durable. Starts it
    /// again if it is to be kept running or `goes_on`.
    ///
    /// # Errors
    /// `LocalUnreachable`; the load can then be continued.
    pub(super) fn make_durable(&mut self, goes_on: bool) -> Result<()> {
        let pgdata = self.place.pgdata.clone();
        self.stop()?;
        server_config::write(&pgdata, ServerPurpose::Read, &self.place.socket_dir(self.os_user.as_ref())?)?;
        if let Some(removal) = self.removal.take() {
            // What it could not remove is removed by the next load.
            removal.join().ok();
        }
        sync(&pgdata, &self.binaries, self.os_user.as_ref())?;
        server_config::remove_if_there(&pgdata.join(LOADING))
            .map_err(|cause| Error::io(Kind::LocalUnreachable, "writing", &pgdata, &cause))?;
        atomic::sync_dir(&pgdata)?;
        if self.keep || goes_on { self.start(ServerPurpose::Read) } else { Ok(()) }
    }

    /// Stops the server unless it is to keep running.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) fn close(mut self) -> Result<()> {
        if self.keep {
            server_config::replace(&self.place.pgdata, KEPT, b"")?;
            self.postmaster = None;
            return Ok(());
        }
        self.stop()
    }

    fn start(&mut self, purpose: ServerPurpose) -> Result<()> {
        let socket_dir = self.place.socket_dir(self.os_user.as_ref())?;
        server_config::write(&self.place.pgdata, purpose, &socket_dir)?;
        let (pgdata, os_user) = (&self.place.pgdata, self.os_user.as_ref());
        let started = Postmaster::start(&self.binaries, pgdata, &socket_dir, os_user, &self.log)
            .map_err(|error| shortage::explain(pgdata, error))?;
        self.postmaster = Some(started);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        postmaster.stop()?;
        self.place.remove_socket_dir();
        server_config::remove_if_there(&self.place.pgdata.join(KEPT))
            .map_err(|cause| Error::io(Kind::LocalUnreachable, "writing", &self.place.pgdata, &cause))
    }
}

impl Drop for RunningCluster {
    fn drop(&mut self) {
        if !self.keep {
            // On the way of an error, which matters more than this one; the next command finds what is left.
            self.stop().ok();
        }
    }
}

/// Brings all files to disk: the whole file system at once where that can be asked for, because a fsync of each of some
/// thousand small files takes many times as long.
#[cfg(target_os = "linux")]
fn sync(pgdata: &Path, _: &Binaries, _: Option<&OsUser>) -> Result<()> {
    fs::File::open(pgdata)
        .and_then(|directory| rustix::fs::syncfs(&directory).map_err(io::Error::from))
        .map_err(|cause| Error::io(Kind::LocalUnreachable, "bringing to disk", pgdata, &cause))
}

/// Brings all files to disk.
#[cfg(not(target_os = "linux"))]
fn sync(pgdata: &Path, binaries: &Binaries, os_user: Option<&OsUser>) -> Result<()> {
    let mut command = binaries.command("initdb", os_user);
    let output = command.arg("--sync-only").arg("-D").arg(pgdata).output();
    let status = output.map(|output| output.status);
    let status = status.map_err(|cause| Error::io(Kind::LocalUnreachable, "bringing to disk", pgdata, &cause))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::new(Kind::LocalUnreachable, format!("bringing {} to disk failed", pgdata.display())))
    }
}

/// Brings to disk what a load has written so far. The system reports a failure once: after one the cluster counts as torn.
///
/// # Errors
/// `LocalUnreachable`.
#[cfg(target_os = "linux")]
pub(super) fn write_back(pgdata: &Path) -> Result<()> {
    let written = fs::File::open(pgdata).and_then(|directory| rustix::fs::syncfs(&directory).map_err(io::Error::from));
    written.map_err(|cause| {
        // No boot has this identity.
        server_config::replace(pgdata, LOADING, b"torn").ok();
        Error::io(Kind::LocalUnreachable, "bringing to disk", pgdata, &cause)
            .with_hint("see whether the disk has room and no faults, then run `turso2neon convert` again")
    })
}

/// Does nothing: only Linux can be asked for a whole file system, and the end of the load brings each file to disk.
#[cfg(not(target_os = "linux"))]
pub(super) fn write_back(_: &Path) -> Result<()> {
    Ok(())
}

/// Whether a durable cluster is at this place.
pub(super) fn is_durable(place: &DataDir) -> bool {
    major_of(&place.pgdata).is_some() && !place.pgdata.join(LOADING).exists()
}

/// Whether no server uses the data directory of a place, and none was killed there.
pub(super) fn is_stopped(place: &DataDir) -> bool {
    fs::symlink_metadata(place.pgdata.join("postmaster.pid"))
        .is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

/// Stops the server of a place, if one runs there.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) fn stop(place: &DataDir) -> Result<()> {
    if let Some(mut postmaster) = Postmaster::find(&place.pgdata) {
        postmaster.stop()?;
    }
    place.remove_socket_dir();
    Ok(())
}

/// Stops the server of a place and removes its data directory.
///
/// # Errors
/// `LocalUnreachable`, `ArtifactIo`.
pub(super) fn wipe(place: &DataDir) -> Result<()> {
    stop(place)?;
    remove_unfinished(place);
    remove_tree(&place.pgdata)
}

/// Stops the server of a place and renames its data directory. The next load removes it when its server has started, because
/// the removal takes as long as the start.
///
/// # Errors
/// `LocalUnreachable`, `ArtifactIo`.
pub(super) fn set_aside(place: &DataDir) -> Result<()> {
    stop(place)?;
    match fs::rename(&place.pgdata, unfinished(place)) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        answer => answer.map_err(|cause| Error::io(Kind::ArtifactIo, "renaming", &place.pgdata, &cause))?,
    }
    if shortage::require_room(&place.pgdata).is_err() {
        remove_unfinished(place);
    }
    Ok(())
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        answer => answer.map_err(|cause| Error::io(Kind::ArtifactIo, "removing", path, &cause)),
    }
}

/// A name of its own for each try: an `initdb` that outlived its killed parent goes on writing under the name that it
/// was given, and on failure removes it.
fn unfinished(place: &DataDir) -> PathBuf {
    let name = |number: u32| place.pgdata.with_extension(format!("{UNFINISHED}-{}-{number}", std::process::id()));
    (0..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(u32::MAX))
}

/// Removes what earlier tries left. What such an `initdb` still writes to stays for the next command.
fn remove_unfinished(place: &DataDir) {
    let prefix = place.pgdata.with_extension(UNFINISHED);
    let siblings = place.pgdata.parent().and_then(|parent| fs::read_dir(parent).ok());
    for path in siblings.into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.to_string_lossy().starts_with(&*prefix.to_string_lossy()) {
            fs::remove_dir_all(&path).ok();
        }
    }
}

/// Removes what earlier loads left at a place, and the directory around it if that is then empty and outside DIR.
fn remove_leftovers(place: &DataDir) {
    remove_unfinished(place);
    if place.because.is_some()
        && let Some(home) = place.pgdata.parent()
    {
        fs::remove_dir(home).ok();
    }
}

/// Makes a cluster under another name and renames it when it is whole, so that an interrupted `initdb` leaves nothing
/// that looks like a cluster.
fn create(binaries: &Binaries, place: &DataDir, os_user: Option<&OsUser>, cache: Option<&Path>) -> Result<()> {
    shortage::require_room(&place.pgdata)?;
    let new = unfinished(place);
    let mut last = String::new();
    let mut made = false;
    for locale in LOCALES {
        let arguments = arguments(locale);
        let template = Template::of(cache, binaries, &arguments);
        remove_tree(&new)?;
        if template.as_ref().is_some_and(|template| template.copy_to(&new)) {
            os_user.map_or(Ok(()), |os_user| os_user.give_all(&new))?;
            made = true;
            break;
        }
        remove_tree(&new)?;
        match initialise(binaries, &new, os_user, &arguments)? {
            Ok(()) => {
                if let Some(template) = template {
                    keep_template(&template, &new, binaries, os_user)?;
                }
                made = true;
                break;
            }
            Err(said) => last = said,
        }
    }
    if !made {
        return Err(Error::new(Kind::LocalUnreachable, format!("making the data directory failed: {last}"))
            .with_hint("check the free space and the rights of the directory given by --dir, or use --local-url"));
    }
    server_config::include(&new)?;
    server_config::replace(&new, LOADING, boot_identity().unwrap_or_default().as_bytes())?;
    fs::rename(&new, &place.pgdata)
        .map_err(|cause| Error::io(Kind::LocalUnreachable, "renaming to", &place.pgdata, &cause))
}

/// Keeps a copy of a new data directory. While it is copied it is this process's own, so that the server's account cannot
/// put a link into it.
fn keep_template(template: &Template, new: &Path, binaries: &Binaries, os_user: Option<&OsUser>) -> Result<()> {
    let sync = |path: &Path| sync(path, binaries, None).is_ok();
    let Some(os_user) = os_user else {
        template.keep(new, sync);
        return Ok(());
    };
    OsUser::root().give_all(new)?;
    template.keep(new, sync);
    os_user.give_all(new)
}

fn arguments(locale: &str) -> Vec<String> {
    let fixed =
        ["-U", USER, "-E", "UTF8", "--no-sync", "--no-instructions", "--auth-local=trust", "--auth-host=reject"];
    // The order of the locales, by comparing bytes, which is several times faster where keys and indexes are built.
    fixed
        .iter()
        .map(|&argument| argument.to_owned())
        .chain([format!("--locale={locale}"), "--lc-collate=C".to_owned()])
        .collect()
}

/// Runs `initdb`; gives the last line of what it said if it refused.
fn initialise(
    binaries: &Binaries,
    new: &Path,
    os_user: Option<&OsUser>,
    arguments: &[String],
) -> Result<std::result::Result<(), String>> {
    if let Some(os_user) = os_user {
        // The directory above stays root's: nobody else can put a link in the place of this one.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(new)
            .map_err(|cause| Error::io(Kind::LocalUnreachable, "creating", new, &cause))?;
        os_user.give(new)?;
    }
    let output = binaries.command("initdb", os_user).arg("-D").arg(new).args(arguments).output();
    let program = || binaries.bin.join("initdb");
    let output = output.map_err(|cause| Error::io(Kind::LocalUnreachable, "running", &program(), &cause))?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Err(said.lines().next_back().map(ToOwned::to_owned).unwrap_or_default()))
}

fn condition(pgdata: &Path, binaries: &Binaries, os_user: Option<&OsUser>) -> ClusterState {
    if !pgdata.join(server_config::FILE).exists() && !pgdata.join(LOADING).exists() {
        return ClusterState::Absent;
    }
    let Ok(boot) = file_access::read_to_string(&pgdata.join(LOADING)) else { return ClusterState::Durable };
    if Postmaster::find(pgdata).is_some() {
        return ClusterState::Loading;
    }
    let same_boot = boot_identity().is_some_and(|present| present == boot);
    if same_boot && was_shut_down(pgdata, binaries, os_user) { ClusterState::Loading } else { ClusterState::Torn }
}

fn was_shut_down(pgdata: &Path, binaries: &Binaries, os_user: Option<&OsUser>) -> bool {
    let output = binaries.command("pg_controldata", os_user).arg("-D").arg(pgdata).output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines()
            .any(|line| line.strip_prefix("Database cluster state:").is_some_and(|state| state.trim() == "shut down"))
    })
}

fn major_of(pgdata: &Path) -> Option<u32> {
    file_access::read_to_string(&pgdata.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// What changes with each boot of the machine; unknown on systems that don't tell.
fn boot_identity() -> Option<String> {
    if let Ok(identity) = fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        return Some(identity.trim().to_owned());
    }
    let output = program::command("sysctl").args(["-n", "kern.bootsessionuuid"]).output().ok()?;
    let identity = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !identity.is_empty()).then_some(identity)
}
