//! Whether tables on the target hold what `convert` loaded: server-side digests, the same SQL on both servers.

use futures_util::future::BoxFuture;

use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::TablePlan,
    postgres::{Session, digest},
};

use super::{crew::Crew, manifest::Manifest};

/// A table and the digest that it must have.
#[derive(Clone)]
pub(super) struct Wanted<'a> {
    /// The table.
    pub table: &'a TablePlan,
    /// `count:sum`.
    pub digest: String,
}

/// What every table must have: what the checkpoint of `convert` says, or for a ledger that it doesn't list, what the
/// local PostgreSQL says now.
///
/// # Errors
/// `Local*`.
pub(super) async fn wanted<'a>(local: &Session, manifest: &'a Manifest) -> Result<Vec<Wanted<'a>>> {
    let mut list = Vec::new();
    for cargo in &manifest.cargo {
        let digest = match &cargo.loaded {
            Some(loaded) => loaded.server_digest.clone(),
            None => digest::of_table(local, &manifest.plan.schema, &cargo.table).await?,
        };
        list.push(Wanted { table: &cargo.table, digest });
    }
    Ok(list)
}

/// Source names of the tables whose digest in this schema isn't the wanted one.
///
/// # Errors
/// `Target*`, `Interrupted`.
pub(super) async fn differing(crew: &Crew<'_>, schema: &str, wanted: Vec<Wanted<'_>>) -> Result<Vec<String>> {
    let items = wanted.into_iter().map(|wanted| (schema.to_owned(), wanted)).collect();
    let mut names: Vec<String> = crew.each("digests", items, compare).await?.into_iter().flatten().collect();
    names.sort_unstable();
    Ok(names)
}

/// The table's source name if its digest in this schema isn't the wanted one.
fn compare<'x>(
    session: &'x Session,
    (schema, wanted): &'x (String, Wanted<'_>),
) -> BoxFuture<'x, Result<Option<String>>> {
    Box::pin(async move {
        let found = digest::of_table(session, schema, wanted.table).await.at_table(&wanted.table.source)?;
        Ok((found != wanted.digest).then(|| wanted.table.source.clone()))
    })
}

/// The error for staged tables that differ: says whether the local PostgreSQL still holds what was loaded.
///
/// # Errors
/// `Local*` if that can't be found out.
pub(super) async fn explain(local: &Session, manifest: &Manifest, differing: &[String]) -> Result<Error> {
    for cargo in manifest.cargo.iter().filter(|cargo| differing.contains(&cargo.table.source)) {
        let now = digest::of_table(local, &manifest.plan.schema, &cargo.table).await?;
        if cargo.loaded.as_ref().is_some_and(|loaded| loaded.server_digest != now) {
            let text = "the local PostgreSQL no longer holds what convert loaded; nothing was cut over";
            return Ok(Error::new(Kind::ArtifactStale, text)
                .at_table(&cargo.table.source)
                .with_hint("run `turso2neon convert --fresh`, then `turso2neon push`"));
        }
    }
    let text = format!("what arrived on the target differs from the local PostgreSQL in: {}", differing.join(", "));
    Ok(Error::new(Kind::TargetRejected, text)
        .with_hint("nothing was cut over; run `turso2neon push` again: it loads everything anew"))
}
