//! Reports a panic as a bug of this tool, without the panic's message, which may quote a value.

use std::{
    panic,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::error::{Error, Kind};

/// Where the last panic was: file and line of the source.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Keeps panics from printing; their place is remembered.
pub fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|location| format!("{}:{}", short(location.file()), location.line()));
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
}

/// The error for a panic.
pub fn crashed() -> Error {
    Error::new(Kind::Bug, format!("the tool stopped unexpectedly{}", place()))
}

/// ` at file:line` of the last panic, if there was one.
pub fn place() -> String {
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    place.map(|place| format!(" at {place}")).unwrap_or_default()
}

/// The last three parts of a path: those before them are of the machine that built the tool.
fn short(file: &str) -> String {
    let parts: Vec<_> = Path::new(file).iter().map(|part| part.to_string_lossy()).collect();
    let first = parts.len().saturating_sub(3);
    parts.iter().skip(first).map(AsRef::as_ref).collect::<Vec<&str>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builders_directories_are_not_shown() {
        assert_eq!(short("/home/me/.cargo/registry/x-1.0/src/lib.rs"), "x-1.0/src/lib.rs");
        assert_eq!(short("src/cli/mod.rs"), "src/cli/mod.rs");
    }
}
