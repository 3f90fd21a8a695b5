//! Inputs that are made to harm: links in the working directory, files of other users, servers that send too much.

mod configuration;

mod directory;

mod exhaustion;

mod programs;

mod schema;

mod startup;

use std::{os::unix::fs::PermissionsExt, path::Path};

/// An account without rights that every system has.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
