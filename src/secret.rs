//! Wraps values that must never be shown.
//!
//! `Secret` has no `Display`, no `Serialize` and a `Debug` that prints a fixed word, so a token or a connection
//! string cannot reach a message by accident. [`Secret::expose`] is called only where the value leaves for the
//! system it belongs to.

use std::fmt;

/// A value that is only handed out on request, by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. The caller must not log, store or print it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A parser for clap that cannot fail, so that clap never has a reason to print the value.
///
/// # Errors
/// Never; the type is what clap asks for.
pub fn parse_secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "<secret>");
    }
}
