//! A server as the source: which method reads it, and what came of it.

use std::{fmt, path::Path};

use clap::{ValueEnum, builder::PossibleValue};

use super::{
    CompleteCopy, billing_estimate, disk_space, export,
    left_out::{self, LeftOut},
    on_thread, other_source,
    pages::{self, PullOutcome, Revision},
    replica::{self, PreviousDump},
    resume_state,
    server_facts::{self, ServerFacts},
    sql_method,
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        DumpCheckpoint,
        consistency_mark::{ConsistencyMark, LogPosition},
        dump_method::DumpMethod,
    },
    source::{
        endpoint::Endpoint,
        http::{Server, ServerSettings},
        replication::Greeting,
        token,
    },
};

/// What reading a server comes to.
pub(super) enum MethodOutcome {
    /// A copy in the part file.
    Copied(Box<CompleteCopy>),
    /// The server says that nothing has changed since the dump before.
    Unchanged {
        /// Bytes that it took to know.
        received_bytes: u64,
    },
}

/// The state of a server's database that was copied.
#[derive(Clone, Copy)]
enum CopiedState<'a> {
    Revision(&'a Revision),
    Frame(&'a LogPosition),
}

/// What the database is made as.
enum DatabaseKind {
    /// Turso's newer form, of which pages are only a part.
    Mvcc,
    /// Any other, so far as the server tells.
    Other,
}

/// How the source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// The first that the server offers of pages, export, replica and sql; a file is copied
    Auto,
    /// Pages at one revision, from Turso's current servers; later dumps fetch only changes
    Pages,
    /// The database file and its frames, from older servers of Turso Cloud
    Export,
    /// The replication log, from self-hosted libSQL servers; later dumps fetch only changes
    Replica,
    /// All rows in one read transaction, from every server
    Sql,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// A method of `auto` that made no copy, and why.
pub(super) struct FailedMethod {
    pub(super) method: DumpMethod,
    pub(super) why: String,
}

impl fmt::Display for FailedMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.method, self.why)
    }
}

/// Reads a server by the method that is asked for, or the first that makes a copy. `failed` has the methods that were
/// tried in vain; they are not tried again, and those that fail here are added.
///
/// # Errors
/// As [`super::dump`].
pub(super) async fn copy(
    ctx: &Context,
    settings: &ServerSettings<'_>,
    (method, is_mvcc): (Method, bool),
    (part, exclude): (&Path, &[String]),
    previous: Option<&DumpCheckpoint>,
    failed: &mut Vec<FailedMethod>,
) -> Result<MethodOutcome> {
    let endpoint = settings.endpoint;
    if failed.is_empty() {
        endpoint.warnings().into_iter().for_each(|warning| ctx.out.warn(warning));
    }
    let token = token::one_of(endpoint.token(), settings.token)?;
    let server = Server::new(ctx, &ServerSettings { token: token.as_ref(), ..*settings })?;
    // The namespaces of one server are databases of their own.
    let source = other_source::recorded_source(&endpoint.to_string(), settings.namespace);
    let reader = ServerReader { ctx, server: &server, source, part, previous, exclude };
    match method {
        Method::Auto if is_mvcc => reader.sql(MVCC.to_owned()).await,
        Method::Auto => reader.first_that_works(failed).await,
        Method::Sql => reader.sql(ASKED_FOR.to_owned()).await,
        Method::Pages => refused_unless(endpoint, method, reader.pages(ASKED_FOR).await?),
        Method::Export => refused_unless(endpoint, method, reader.export(ASKED_FOR).await?),
        Method::Replica => refused_unless(endpoint, method, reader.replica(ASKED_FOR).await?),
    }
}

/// Whether another method may succeed where one failed so. A server that can't be reached answers none of them, and
/// what came of a copy is kept for the next time.
pub(super) fn may_use_another(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::SourceDenied | Kind::SourceRefused | Kind::SourceTruncated | Kind::SourceChanged | Kind::SourceInvalid
    )
}

const MVCC: &str = "it is an MVCC database, which no other method reads whole";

const ASKED_FOR: &str = "asked for";

/// What a method made, or why the server doesn't offer it.
type MethodOffer = std::result::Result<MethodOutcome, String>;

fn refused_unless(endpoint: &Endpoint, method: Method, offered: MethodOffer) -> Result<MethodOutcome> {
    offered.map_err(|why| {
        Error::new(Kind::SourceRefused, format!("{endpoint} can't be read by {method}: {why}"))
            .with_hint("leave --method out to take the method that works")
    })
}

/// The reason for a method, and why those before it were not used.
fn reason_after(reason: &str, failed: &[FailedMethod]) -> String {
    let reasons = failed.iter().map(ToString::to_string);
    Some(reason.to_owned())
        .filter(|reason| !reason.is_empty())
        .into_iter()
        .chain(reasons)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The error of the last method, with the reasons of the others.
fn after_all(error: Error, failed: &[FailedMethod]) -> Error {
    if failed.is_empty() || !matches!(error.kind(), Kind::SourceRefused | Kind::SourceTruncated | Kind::SourceChanged) {
        return error;
    }
    let message = format!("{} (method sql; {})", error.message(), reason_after("", failed));
    error.with_message(message)
}

struct ServerReader<'a> {
    ctx: &'a Context,
    server: &'a Server,
    source: String,
    part: &'a Path,
    previous: Option<&'a DumpCheckpoint>,
    exclude: &'a [String],
}

impl ServerReader<'_> {
    /// Tries the method of the dump before, then all in their order.
    async fn first_that_works(&self, failed: &mut Vec<FailedMethod>) -> Result<MethodOutcome> {
        let before = self.previous.filter(|previous| previous.source == self.source);
        let again = before.map(|previous| previous.method);
        if let Some(method @ (DumpMethod::Pages | DumpMethod::Replica)) = again.filter(|_| failed.is_empty())
            && let Some(made) = self.attempt(method, failed).await?
        {
            return Ok(made);
        }
        if matches!(self.form().await?, DatabaseKind::Mvcc) {
            return self.sql(MVCC.to_owned()).await;
        }
        for method in [DumpMethod::Pages, DumpMethod::Export, DumpMethod::Replica] {
            if failed.iter().any(|failed| failed.method == method) {
                continue;
            }
            if let Some(made) = self.attempt(method, failed).await? {
                return Ok(made);
            }
        }
        self.sql(reason_after("", failed)).await.map_err(|error| after_all(error, failed))
    }

    /// Tries one method; if it makes no copy, remembers why.
    async fn attempt(&self, method: DumpMethod, failed: &mut Vec<FailedMethod>) -> Result<Option<MethodOutcome>> {
        let offer = match method {
            DumpMethod::Pages => self.pages(&reason_after("the server offers its pages", failed)).await,
            DumpMethod::Export => {
                self.export(&reason_after("the server offers the file of its generation", failed)).await
            }
            DumpMethod::Replica => self.replica(&reason_after("the server offers its replication log", failed)).await,
            DumpMethod::Sql | DumpMethod::File => Ok(Err("it is not tried".to_owned())),
        };
        let why = match offer {
            Ok(Ok(made)) => return Ok(Some(made)),
            Ok(Err(why)) => why,
            Err(error) if may_use_another(&error) => {
                self.ctx.out.warn(format!("method {method} failed ({}); the next method is tried", error.message()));
                super::remove_part(self.part)?;
                error.to_string()
            }
            Err(error) => return Err(error),
        };
        failed.push(FailedMethod { method, why });
        Ok(None)
    }

    /// The form of the database, where the server tells; for any other answer the methods have better words.
    async fn form(&self) -> Result<DatabaseKind> {
        let answers = match self.server.query(&["SELECT journal_mode FROM pragma_journal_mode"]).await {
            Ok(answers) => answers,
            Err(error) if error.kind() == Kind::SourceRefused => return Ok(DatabaseKind::Other),
            Err(error) => return Err(error),
        };
        let mode = answers.into_iter().next().and_then(std::result::Result::ok);
        let mode = mode.and_then(|rows| rows.into_iter().next()?.into_iter().next()?.into_string());
        Ok(if mode.is_some_and(|mode| mode.contains("mvcc")) { DatabaseKind::Mvcc } else { DatabaseKind::Other })
    }

    /// Source and state of the dump before.
    fn mark_before(&self) -> Option<(&str, &ConsistencyMark)> {
        let previous = self.previous?;
        Some((&previous.source, previous.consistency_mark.as_ref()?))
    }

    async fn pages(&self, method_reason: &str) -> Result<MethodOffer> {
        let mark = self.mark_before().filter(|(source, _)| *source == self.source).map(|(_, mark)| mark);
        let base = match mark {
            Some(ConsistencyMark::PageRevision { name, pages }) => {
                let revision = Revision { source: self.source.clone(), name: name.clone(), pages: *pages };
                Some(pages::PreviousDump { revision, file: self.ctx.workdir.source_db() })
            }
            _ => None,
        };
        let copied = match pages::pull(self.ctx, self.server, &self.source, self.part, base).await? {
            PullOutcome::Copied(copied) => copied,
            PullOutcome::Unchanged { received_bytes } => return Ok(Ok(MethodOutcome::Unchanged { received_bytes })),
            PullOutcome::NotOffered(why) => return Ok(Err(why)),
        };
        let mut proof = copied.proof();
        let left_out = self.leave_out(&mut proof).await?;
        let server_facts = self.ask_facts(&mut proof, CopiedState::Revision(&copied.revision), &left_out).await?;
        Ok(Ok(MethodOutcome::Copied(Box::new(CompleteCopy {
            source: self.source.clone(),
            method: DumpMethod::Pages,
            method_reason: method_reason.to_owned(),
            proof,
            consistency_mark: Some(copied.revision.mark()).filter(|_| left_out.is_empty()),
            received_bytes: copied.received_bytes,
            left_out,
            snapshot: None,
            server_facts,
        }))))
    }

    async fn export(&self, method_reason: &str) -> Result<MethodOffer> {
        let exported = match export::pull(self.ctx, self.server, self.part).await? {
            Ok(exported) => exported,
            Err(why) => return Ok(Err(why)),
        };
        let mut proof = exported.proof();
        let left_out = self.leave_out(&mut proof).await?;
        Ok(Ok(MethodOutcome::Copied(Box::new(CompleteCopy {
            source: self.source.clone(),
            method: DumpMethod::Export,
            method_reason: method_reason.to_owned(),
            proof,
            consistency_mark: None,
            received_bytes: exported.received_bytes,
            left_out,
            snapshot: None,
            server_facts: None,
        }))))
    }

    async fn replica(&self, method_reason: &str) -> Result<MethodOffer> {
        let log = match self.server.hello().await? {
            Greeting::Log(log) if log.last.is_none() => {
                return Ok(Err("its log is empty, as is the database".to_owned()));
            }
            Greeting::Log(log) => log,
            Greeting::NotOffered(why) => return Ok(Err(why)),
        };
        let position = match self.mark_before() {
            Some((_, ConsistencyMark::Log(position))) => Some(position.clone()),
            _ => None,
        };
        if let Some(position) = &position {
            let (unchanged, bytes) = replica::is_unchanged(self.server, &log, position).await?;
            if unchanged {
                return Ok(Ok(MethodOutcome::Unchanged { received_bytes: log.received_bytes + bytes }));
            }
        }
        if position.is_none() {
            self.require_room().await?;
        }
        let base = position.map(|position| PreviousDump { position, file: self.ctx.workdir.source_db() });
        let greeting_bytes = log.received_bytes;
        let pulled = replica::pull(self.ctx, self.server, log, self.part, base).await?;
        let mut proof = pulled.proof();
        let left_out = self.leave_out(&mut proof).await?;
        let server_facts = self.ask_facts(&mut proof, CopiedState::Frame(&pulled.position), &left_out).await?;
        Ok(Ok(MethodOutcome::Copied(Box::new(CompleteCopy {
            source: self.source.clone(),
            method: DumpMethod::Replica,
            method_reason: method_reason.to_owned(),
            proof,
            consistency_mark: Some(ConsistencyMark::Log(pulled.position)).filter(|_| left_out.is_empty()),
            received_bytes: pulled.counters.received_bytes + greeting_bytes,
            left_out,
            snapshot: None,
            server_facts,
        }))))
    }

    /// Removes from a copy of pages what is left out of it.
    async fn leave_out(&self, proof: &mut Vec<String>) -> Result<Vec<LeftOut>> {
        let (part, exclude) = (self.part.to_owned(), self.exclude.to_vec());
        let left_out = on_thread(move || left_out::remove(&part, &exclude, left_out::RowsOwner::Server)).await?;
        proof.extend(left_out::note(&left_out));
        Ok(left_out)
    }

    /// Refuses a copy that has no room, as far as the server tells its size.
    async fn require_room(&self) -> Result<()> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let answers = match self.server.query(&[sql]).await {
            Ok(answers) => answers,
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(_) => return Ok(()),
        };
        let size = answers.into_iter().next().and_then(std::result::Result::ok);
        let size = size.and_then(|rows| rows.first()?.first()?.integer()).and_then(|size| u64::try_from(size).ok());
        size.map_or(Ok(()), |size| disk_space::require(self.part, size))
    }

    /// What the server says of itself, if it is still where the copy is from when it has said it.
    async fn ask_facts(
        &self,
        proof: &mut Vec<String>,
        copied: CopiedState<'_>,
        left_out: &[LeftOut],
    ) -> Result<Option<ServerFacts>> {
        let bytes = std::fs::metadata(self.part).map_or(0, |facts| facts.len());
        // Who hosts databases bills rows; whoever serves without TLS doesn't.
        let cheap = self.server.is_encrypted() && bytes >= billing_estimate::LARGE_BYTES;
        let facts = match server_facts::ask(self.server, self.part, cheap, left_out).await {
            Ok(facts) => facts,
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                // The copy is complete and yet can't be read: nobody can go on from it.
                resume_state::forget(self.part)?;
                return Err(error);
            }
        };
        let same = match self.is_newest(copied).await {
            Ok(same) => same,
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(_) => false,
        };
        let facts = facts.filter(|_| same);
        if facts.is_none() {
            proof.push("not compared with the server's own counts, for it went on or didn't answer".to_owned());
        }
        Ok(facts)
    }

    /// Whether the server's newest state is the one that was copied.
    async fn is_newest(&self, copied: CopiedState<'_>) -> Result<bool> {
        match copied {
            CopiedState::Revision(revision) => pages::is_newest(self.server, revision).await,
            CopiedState::Frame(position) => Ok(match self.server.hello().await? {
                Greeting::Log(log) => log.id == position.log_id && log.last == Some(position.frame),
                Greeting::NotOffered(_) => false,
            }),
        }
    }

    async fn sql(&self, method_reason: String) -> Result<MethodOutcome> {
        let snapshot = sql_method::copy(self.ctx, self.server, self.part, self.exclude).await?;
        let (received, left_out) = (&snapshot.received, snapshot.left_out.clone());
        Ok(MethodOutcome::Copied(Box::new(CompleteCopy {
            source: self.source.clone(),
            method: DumpMethod::Sql,
            method_reason,
            proof: snapshot.proof(),
            consistency_mark: received.replication_index.map(ConsistencyMark::ReplicationIndex),
            received_bytes: received.bytes,
            left_out,
            snapshot: Some(snapshot),
            server_facts: None,
        })))
    }
}
