//! Colours text where it is wanted. Every text reads the same without them.

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Palette {
    /// With ANSI colours.
    On,
    /// Without.
    Off,
}

impl Palette {
    /// For errors.
    pub(super) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// For warnings.
    pub(super) fn yellow(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    /// For hints.
    pub(super) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }
}
