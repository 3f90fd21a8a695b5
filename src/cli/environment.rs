//! Reads the environment variables of this tool. No other module reads the environment; `program` hands some variables
//! on to the programs that it starts.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};

/// A variable that is read.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The flag that it sets, without the dashes.
    pub flag: Option<&'static str>,
    /// What it means, for the help.
    pub meaning: &'static str,
    is_secret: bool,
    /// Blanks at its ends belong to it.
    is_exact: bool,
}

impl Variable {
    const fn secret(name: &'static str, flag: Option<&'static str>, meaning: &'static str) -> Self {
        Self { name, flag, meaning, is_secret: true, is_exact: false }
    }

    const fn plain(name: &'static str, flag: Option<&'static str>, meaning: &'static str) -> Self {
        Self { name, flag, meaning, is_secret: false, is_exact: false }
    }
}

/// The variable that holds the source's token. It replaces the key `auth-token-file`.
pub const TOKEN: &str = "TURSO_AUTH_TOKEN";

/// All of them. Of two variables for the same flag, the first one that is set counts.
pub const VARIABLES: [Variable; 19] = [
    Variable::secret("TURSO_DATABASE_URL", Some("source"), "the source"),
    Variable::secret(TOKEN, None, "the token of the source; replaces the key auth-token-file"),
    Variable::secret("TURSO_API_TOKEN", None, "the token of the Turso platform, for --database"),
    Variable::plain("TURSO_API_BASEURL", None, "another address of the Turso platform"),
    Variable::secret("NEON_DATABASE_URL", Some("target"), "the target"),
    Variable::secret("DATABASE_URL", Some("target"), "the target, if NEON_DATABASE_URL is not set"),
    Variable::secret("NEON_API_KEY", None, "the key of Neon's API, for --neon-project"),
    Variable::plain("NEON_API_HOST", None, "another address of Neon's API"),
    Variable::secret("TURSO2NEON_LOCAL_URL", Some("local-url"), "a local PostgreSQL instead of the managed one"),
    Variable::plain("TURSO2NEON_DIR", Some("dir"), "the working directory"),
    Variable {
        is_exact: true,
        ..Variable::secret("PGPASSWORD", None, "the password for PostgreSQL connection strings that contain none")
    },
    Variable::plain("PGPASSFILE", None, "the file with such passwords, `~/.pgpass` if it is not set"),
    Variable::plain("HOME", None, "the directory of `.pgpass` and `.cache`"),
    Variable::plain(
        "XDG_CACHE_HOME",
        None,
        "the directory for a copy of a new PostgreSQL cluster and for versions of programs, `~/.cache` if it is not set",
    ),
    Variable::plain("NO_COLOR", None, "no colours, unless --color says otherwise"),
    Variable::plain("TERM", None, "`dumb`: no colours and no progress bars"),
    Variable::plain("CI", None, "no progress bars"),
    Variable::plain("GITHUB_ACTIONS", None, "`true`: errors become annotations"),
    Variable::plain("GITHUB_STEP_SUMMARY", None, "the file that gets the report in GitHub Actions"),
];

/// The variables that set a flag, in the order in which they count.
pub fn of_flag(flag: &str) -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().filter(move |variable| variable.flag == Some(flag)).map(|variable| variable.name)
}

/// The environment as it was at the start, as far as this tool reads it.
#[derive(Debug, Default, Clone)]
pub struct Environment {
    secrets: BTreeMap<&'static str, Secret<String>>,
    plain: BTreeMap<&'static str, String>,
}

impl Environment {
    /// Reads the variables.
    ///
    /// # Errors
    /// `Usage` if one of them is not valid UTF-8.
    pub fn read() -> Result<Self> {
        let mut environment = Self::default();
        for variable in &VARIABLES {
            if let Some(text) = value_of(variable)? {
                environment.insert(variable, text);
            }
        }
        Ok(environment)
    }

    fn insert(&mut self, variable: &Variable, text: String) {
        if variable.is_secret {
            self.secrets.insert(variable.name, Secret::new(text));
        } else {
            self.plain.insert(variable.name, text);
        }
    }

    #[cfg(test)]
    pub(super) fn of(values: &[(&str, &str)]) -> Self {
        let mut environment = Self::default();
        for (name, value) in values {
            let variable = VARIABLES.iter().find(|variable| variable.name == *name).unwrap();
            environment.insert(variable, (*value).to_owned());
        }
        environment
    }

    /// The value of a variable that may hold a secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<Secret<String>> {
        self.secrets.get(name).cloned()
    }

    /// The value of a variable that holds no secret.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.plain.get(name).map(String::as_str)
    }

    /// What the environment says about a flag.
    pub(super) fn flag(&self, flag: &str) -> Option<Vec<String>> {
        let text = |name| self.text(name).or_else(|| self.secrets.get(name).map(|value| value.expose().as_str()));
        of_flag(flag).find_map(text).map(|value| vec![value.to_owned()])
    }
}

/// A variable's text, without blanks at its ends unless they belong to it; none if it is unset or empty.
fn value_of(variable: &Variable) -> Result<Option<String>> {
    let name = variable.name;
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let text = value.into_string().map_err(|_| {
        Error::new(Kind::Usage, format!("the environment variable {name} is not valid UTF-8"))
            .with_hint(format!("set {name} again, or unset it"))
    })?;
    let text = if variable.is_exact { text } else { text.trim().to_owned() };
    Ok(Some(text).filter(|text| !text.is_empty()))
}
