//! A server as the source: which method reads it, and what came of it.

use std::path::Path;

use super::{
    Copy, DumpRequest,
    compare::{self, Told},
    remote,
    replica::{self, Base, Position},
    unfinished,
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::DumpCheckpoint,
    source::{
        endpoint::Endpoint,
        http::{Server, ServerSettings},
        replication::{Greeting, Log},
        token,
    },
};

/// What reading a server comes to.
pub(super) enum Made {
    /// A copy in the part file.
    Copied(Box<Copy>),
    /// The server says that nothing has changed since the dump before.
    Unchanged {
        /// Bytes that it took to know.
        received_bytes: u64,
    },
}

/// Reads a server by the method that is asked for, or the first that it offers.
///
/// # Errors
/// As [`super::dump`].
pub(super) async fn copy(
    ctx: &Context,
    request: &DumpRequest,
    endpoint: &Endpoint,
    now_s: u64,
    part: &Path,
    previous: Option<&DumpCheckpoint>,
) -> Result<Made> {
    endpoint.warnings().into_iter().for_each(|warning| ctx.out.warn(warning));
    let token = token::one_of(endpoint.token(), request.token.as_ref())?;
    let settings = ServerSettings {
        endpoint,
        token: token.as_ref(),
        ca_file: request.ca_file.as_deref(),
        namespace: request.namespace.as_deref(),
        now_s,
    };
    let server = Server::new(ctx, &settings)?;
    let reader = ServerReader { ctx, server: &server, source: endpoint.to_string(), part, previous };
    let asked = || "asked for".to_owned();
    match request.method.as_str() {
        "sql" => reader.sql(asked()).await,
        "replica" => match reader.offered_log().await? {
            Ok(log) => reader.replica(log, asked()).await,
            Err(why) => Err(Error::new(Kind::SourceRefused, format!("{endpoint} can't be read by replica: {why}"))
                .with_hint("leave --method out to take the method that works")),
        },
        _ => match reader.offered_log().await? {
            Ok(log) => reader.replica(log, "the server lends its replication log".to_owned()).await,
            Err(why) => reader.sql(format!("not replica: {why}")).await,
        },
    }
}

struct ServerReader<'a> {
    ctx: &'a Context,
    server: &'a Server,
    source: String,
    part: &'a Path,
    previous: Option<&'a DumpCheckpoint>,
}

impl ServerReader<'_> {
    /// The server's log, or why there is none to read.
    async fn offered_log(&self) -> Result<std::result::Result<Log, String>> {
        Ok(match self.server.hello().await? {
            Greeting::Log(log) if log.last.is_none() => Err("its log is empty, as is the database".to_owned()),
            Greeting::Log(log) => Ok(log),
            Greeting::NotOffered(why) => Err(why),
        })
    }

    async fn replica(&self, log: Log, method_reason: String) -> Result<Made> {
        let position = self.previous.and_then(|previous| Position::from_mark(previous.consistency_mark.as_deref()?));
        if let Some(position) = &position {
            let (unchanged, bytes) = replica::is_unchanged(self.server, &log, position).await?;
            if unchanged {
                return Ok(Made::Unchanged { received_bytes: log.received_bytes + bytes });
            }
        }
        let base = position.map(|position| Base { position, file: self.ctx.workdir.source_db() });
        let greeting_bytes = log.received_bytes;
        let pulled = replica::pull(self.ctx, self.server, log, self.part, base).await?;
        let mut proof = pulled.proof();
        let told = self.told_of(&pulled.position).await;
        if told.as_ref().is_err_and(|error| error.kind() != Kind::Interrupted) {
            // The copy is complete and yet can't be read: nobody can go on from it.
            unfinished::forget(self.part)?;
        }
        let told = told?;
        if told.is_none() {
            proof.push("not compared with the server's own counts, for it went on or didn't answer".to_owned());
        }
        Ok(Made::Copied(Box::new(Copy {
            source: self.source.clone(),
            method: replica::METHOD,
            method_reason,
            proof,
            consistency_mark: Some(pulled.position.mark()),
            received_bytes: pulled.counters.received_bytes + greeting_bytes,
            snapshot: None,
            told,
        })))
    }

    /// What the server says of itself, if it still is where the copy is from.
    async fn told_of(&self, position: &Position) -> Result<Option<Told>> {
        let told = compare::ask(self.server, self.part).await?;
        let still = match self.server.hello().await {
            Ok(Greeting::Log(log)) => log.id == position.log_id && log.last == Some(position.frame),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Ok(Greeting::NotOffered(_)) | Err(_) => false,
        };
        Ok(told.filter(|_| still))
    }

    async fn sql(&self, method_reason: String) -> Result<Made> {
        let snapshot = remote::copy(self.ctx, self.server, self.part).await?;
        let received = &snapshot.received;
        Ok(Made::Copied(Box::new(Copy {
            source: self.source.clone(),
            method: "sql",
            method_reason,
            proof: snapshot.proof(),
            consistency_mark: received.replication_index.map(|index| format!("replication_index {index}")),
            received_bytes: received.bytes,
            snapshot: Some(snapshot),
            told: None,
        })))
    }
}
