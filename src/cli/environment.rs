//! The variables that this tool knows. The only reader of the environment.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};

/// Variables that may hold a secret.
const SECRETS: [&str; 7] = [
    "NEON_API_KEY",
    "TURSO_DATABASE_URL",
    "TURSO_AUTH_TOKEN",
    "TURSO_API_TOKEN",
    "NEON_DATABASE_URL",
    "DATABASE_URL",
    "TURSO2NEON_LOCAL_URL",
];

/// The other variables that are looked at.
const PLAIN: [&str; 8] = [
    "NEON_API_HOST",
    "TURSO2NEON_DIR",
    "TURSO_API_BASEURL",
    "NO_COLOR",
    "CI",
    "TERM",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
];

/// The environment as it was at the start, as far as this tool looks at it.
#[derive(Debug, Default)]
pub struct Environment {
    secrets: BTreeMap<&'static str, Secret<String>>,
    plain: BTreeMap<&'static str, String>,
}

impl Environment {
    /// Reads the variables that this tool knows.
    ///
    /// # Errors
    /// `Usage` if one of them isn't valid UTF-8.
    pub fn read() -> Result<Self> {
        let mut environment = Self::default();
        for name in SECRETS {
            if let Some(text) = variable(name)? {
                environment.secrets.insert(name, Secret::new(text));
            }
        }
        for name in PLAIN {
            if let Some(text) = variable(name)? {
                environment.plain.insert(name, text);
            }
        }
        Ok(environment)
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&'static str, &str)]) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            if SECRETS.contains(name) {
                environment.secrets.insert(name, Secret::new((*value).to_owned()));
            } else {
                environment.plain.insert(name, (*value).to_owned());
            }
        }
        environment
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<Secret<String>> {
        self.secrets.get(name).cloned()
    }

    /// The value of a variable that holds no secret.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.plain.get(name).map(String::as_str)
    }

    /// Whether a variable is set to something.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.plain.contains_key(name)
    }
}

/// A variable's text without blanks at its ends; none if it is unset or empty.
fn variable(name: &str) -> Result<Option<String>> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let text = value.into_string().map_err(|_| {
        Error::new(Kind::Usage, format!("the environment variable {name} is not valid UTF-8"))
            .with_hint(format!("set {name} again, or unset it"))
    })?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}
