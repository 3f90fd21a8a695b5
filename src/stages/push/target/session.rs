//! The target as one push sees it: sessions with the settings of a load, the lock that keeps a second push out, and
//! the end of sessions that a former try left behind.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio_postgres::error::SqlState;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{Stage, human_format::counted, identifier::quote_ident},
    postgres::{PgEndpoint, Session, error_map, session::CLIENT_CHECK},
    retry,
    workdir::sha256_of_bytes,
};

/// How long to wait for a session of this very process, cut off and ended, to let go of the lock.
const OWN_LOCK_WAIT: Duration = Duration::from_secs(20);
/// How long to wait for somebody else's lock.
const OTHERS_LOCK_WAIT: Duration = Duration::from_secs(3);

/// The most sessions that work side by side.
const MOST_SESSIONS: usize = 16;

/// The target of one push.
pub(crate) struct Target<'a> {
    /// What every stage is given.
    pub ctx: &'a Context,
    /// Where it is.
    pub endpoint: &'a PgEndpoint,
    /// The schema that readers see.
    pub schema: &'a str,
    /// What the sessions of pushes into this schema are called on the server.
    application: String,
    /// How long to try to get locks on tables that others use.
    pub lock_wait: Duration,
    /// The server process of the control session; 0 before there is one.
    control: AtomicI32,
    /// How many sessions beside it the server has granted, if it has refused some.
    granted: AtomicUsize,
    /// Server processes of control sessions that this process lost.
    former: Mutex<Vec<i32>>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(ctx: &'a Context, endpoint: &'a PgEndpoint, schema: &'a str, lock_wait: Duration) -> Self {
        let digest = sha256_of_bytes(schema.as_bytes());
        let application = format!("turso2neon push {}", digest.get(..12).unwrap_or_default());
        let (control, granted) = (AtomicI32::new(0), AtomicUsize::new(MOST_SESSIONS));
        Self { ctx, endpoint, schema, application, lock_wait, control, granted, former: Mutex::default() }
    }

    /// A session that loads or builds. `path` are the schemas of the extensions that types come from.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(crate) async fn session(&self, path: &[String]) -> Result<Session> {
        let session = self.open(path).await?;
        self.not_pooled(session)
    }

    fn not_pooled(&self, session: Session) -> Result<Session> {
        // Two live sessions in one server process: something between here and the server hands out connections.
        if session.process() == self.control.load(Ordering::SeqCst) {
            return Err(error_map::pooled(session.role()));
        }
        Ok(session)
    }

    /// Sessions that load or build side by side: as many as are wanted, or as many as the server has free connections,
    /// at least one. `path` as in [`Self::session`].
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(crate) async fn sessions(&self, path: &[String], wanted: usize) -> Result<Vec<Session>> {
        let most = self.granted.load(Ordering::SeqCst).min(wanted.clamp(1, MOST_SESSIONS));
        let mut sessions = Vec::with_capacity(most);
        let mut is_full = false;
        for opened in join_all((0..most).map(|_| self.session_if_free(path))).await {
            match opened {
                Err(error) if error.sqlstate() == Some(&SqlState::TOO_MANY_CONNECTIONS) => is_full = true,
                opened => sessions.push(opened?),
            }
        }
        if sessions.is_empty() {
            sessions.push(self.session(path).await?);
        }
        if is_full {
            self.granted.store(sessions.len(), Ordering::SeqCst);
            let free = counted(sessions.len() as u64, "connection", "connections");
            self.ctx
                .out
                .info(format!("the server has no more connections for this role; the push goes on with {free}"));
        }
        Ok(sessions)
    }

    async fn session_if_free(&self, path: &[String]) -> Result<Session> {
        let path = path_value(path);
        let settings = self.settings(&path);
        let opening = Session::connect_if_free(self.ctx, Stage::Push, self.endpoint, &settings);
        self.not_pooled(Box::pin(opening).await?)
    }

    /// The session that decides; the others of this target come after it.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(crate) async fn control(&self) -> Result<Session> {
        let session = self.open(&[]).await?;
        let before = self.control.swap(session.process(), Ordering::SeqCst);
        if before != 0 {
            self.former.lock().unwrap_or_else(PoisonError::into_inner).push(before);
        }
        Ok(session)
    }

    /// A session that is not worth waiting for.
    ///
    /// # Errors
    /// `Target*`.
    pub(crate) async fn one_session(&self) -> Result<Session> {
        Session::connect_once_with(self.endpoint, &self.settings(&path_value(&[]))).await
    }

    async fn open(&self, path: &[String]) -> Result<Session> {
        let path = path_value(path);
        let settings = self.settings(&path);
        Box::pin(Session::connect_with(self.ctx, Stage::Push, self.endpoint, &settings)).await
    }

    fn settings<'b>(&'b self, path: &'b str) -> [(&'static str, &'b str); 6] {
        [
            ("application_name", self.application.as_str()),
            ("search_path", path),
            ("idle_session_timeout", "0"),
            ("default_transaction_isolation", "read committed"),
            ("jit", "off"),
            // In the middle of a long statement, too, the server notices that the tool is gone, and lets go of the
            // lock.
            (CLIENT_CHECK, "1s"),
        ]
    }

    /// Takes the lock for pushes into this schema, for as long as the session lives, and ends the sessions that
    /// an interrupted push has left on the server: nobody else's, because nobody else holds the lock.
    ///
    /// # Errors
    /// `Locked`, `Target*`, `Interrupted`.
    pub(crate) async fn lock(&self, control: &Session) -> Result<()> {
        let begun = Instant::now();
        while !self.try_lock(control).await? {
            let former = self.former.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // The server may take a moment to notice that a process which has just ended is gone.
            let wait = if former.is_empty() { OTHERS_LOCK_WAIT } else { OWN_LOCK_WAIT };
            if begun.elapsed() > wait {
                return Err(Error::new(
                    Kind::Locked,
                    format!("another push into schema {} of this database is running", self.schema),
                ));
            }
            if !former.is_empty() {
                self.end_sessions(control, "pid = ANY($2)", &former).await?;
            }
            retry::rest(self.ctx, Duration::from_millis(200)).await?;
        }
        self.end_sessions(control, "pid <> ALL($2)", &[control.process()]).await
    }

    async fn try_lock(&self, control: &Session) -> Result<bool> {
        let sql = "SELECT pg_try_advisory_lock($1)";
        control.query_value("taking the lock", sql, &[&lock_key(self.schema)]).await
    }

    /// Ends the server process of a session that was lost, should it still be at work.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(crate) async fn end_process(&self, session: &Session, process: i32) -> Result<()> {
        self.end_sessions(session, "pid = ANY($2)", &[process]).await
    }

    /// Ends sessions of this tool, of the same role and for the same schema, and waits until they are gone.
    async fn end_sessions(&self, control: &Session, which: &str, processes: &[i32]) -> Result<()> {
        let condition = format!(
            "FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user \
             AND application_name = $1 AND {which}"
        );
        let begun = Instant::now();
        loop {
            let sql = format!("SELECT pg_terminate_backend(pid) {condition}");
            let ended =
                control.query_rows("ending sessions of a former try", &sql, &[&self.application, &processes]).await?;
            if ended.is_empty() || begun.elapsed() > OWN_LOCK_WAIT {
                return Ok(());
            }
            retry::rest(self.ctx, Duration::from_millis(50)).await?;
        }
    }
}

/// The number of the lock for pushes into a schema; advisory locks are per database.
fn lock_key(schema: &str) -> i64 {
    let digest = sha256_of_bytes(format!("turso2neon push {schema}").as_bytes());
    let word = digest.get(..16).unwrap_or_default();
    u64::from_str_radix(word, 16).map_or(0, u64::cast_signed)
}

/// Sets the schemas in which types and operators without schema are looked for.
pub(crate) fn search_path(extensions: &[String]) -> String {
    format!("SET {}", path_setting(extensions))
}

/// The same after `SET` or `SET LOCAL`.
pub(crate) fn path_setting(extensions: &[String]) -> String {
    format!("search_path = {}", path_value(extensions))
}

fn path_value(extensions: &[String]) -> String {
    let mut list = vec!["pg_catalog".to_owned()];
    list.extend(extensions.iter().map(|schema| quote_ident(schema)));
    list.join(", ")
}

/// A name made of a prefix and another name, cut to PostgreSQL's 63 bytes and then told apart by a digest.
fn derived_name(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}_{name}");
    if whole.len() <= 63 {
        return whole;
    }
    let digest = sha256_of_bytes(name.as_bytes());
    let mut cut = whole;
    while cut.len() > 46 {
        cut.pop();
    }
    format!("{cut}_{}", digest.get(..16).unwrap_or_default())
}

/// How the names of staging schemas begin.
pub(crate) const STAGING_PREFIX: &str = "_turso2neon_stage_";

/// Where the rows that a push into this schema changed are kept until the next one.
pub(crate) fn changed_rows_schema(schema: &str) -> String {
    let base = "turso2neon_undo";
    if schema == "public" { base.to_owned() } else { derived_name(base, schema) }
}

/// Where the tables that a push into this schema replaced are kept until the next one.
pub(crate) fn previous_schema(schema: &str) -> String {
    let base = "turso2neon_previous";
    if schema == "public" { base.to_owned() } else { derived_name(base, schema) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_postgresqls_limit_and_differ() {
        assert_eq!(previous_schema("public"), "turso2neon_previous");
        assert_eq!(previous_schema("app"), "turso2neon_previous_app");
        let (one, two) = (previous_schema(&"é".repeat(30)), previous_schema(&format!("{}x", "é".repeat(30))));
        assert!(one.len() <= 63 && two.len() <= 63 && one != two);
        assert_ne!(lock_key("a"), lock_key("b"));
    }
}
