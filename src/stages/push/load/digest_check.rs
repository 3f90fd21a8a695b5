//! Whether tables on the target hold what `convert` loaded: server-side digests, the same SQL on both servers.

use crate::{
    error::{Error, Kind, Result},
    model::{TableDigest, TablePlan},
    postgres::{Session, table_digest},
    stages::push::{
        load::session_pool::{JobKind, PoolJob, SessionPool},
        plan::manifest::Manifest,
    },
};

/// Tables with values of up to so many bytes are compared together with others.
pub(crate) const LIGHT_BYTES: u64 = 256 << 10;

/// A table and the digest that it must have.
#[derive(Clone)]
pub(crate) struct ExpectedDigest<'a> {
    /// The table.
    pub table: &'a TablePlan,
    /// Its digest.
    pub digest: TableDigest,
}

/// What every table must have: what the checkpoint of `convert` says, or where it has no digest of this version, what
/// the local PostgreSQL says now.
///
/// # Errors
/// `Local*`.
pub(crate) async fn expected_digests<'a>(local: &Session, manifest: &'a Manifest) -> Result<Vec<ExpectedDigest<'a>>> {
    let mut list = Vec::new();
    for to_push in &manifest.tables {
        let digest = match to_push.recorded_digest() {
            Some(digest) => digest,
            None => to_push.digest_now(local, &manifest.plan.schema).await?,
        };
        list.push(ExpectedDigest { table: &to_push.table, digest });
    }
    Ok(list)
}

/// Source names of the tables whose digest in this schema isn't the wanted one.
///
/// # Errors
/// `Target*`, `Interrupted`.
pub(crate) async fn differing(
    pool: &SessionPool<'_>,
    schema: &str,
    wanted: &[ExpectedDigest<'_>],
) -> Result<Vec<String>> {
    let light = |wanted: &ExpectedDigest<'_>| wanted.table.bytes <= LIGHT_BYTES;
    let jobs = wanted.iter().map(|wanted| digest_job(schema, wanted, light(wanted))).collect();
    let mut names = pool.run("digests", jobs).await?;
    names.sort_unstable();
    Ok(names)
}

/// The comparison of one table.
pub(crate) fn digest_job(schema: &str, wanted: &ExpectedDigest<'_>, light: bool) -> PoolJob {
    let table = wanted.table;
    let sql = table_digest::query(schema, &table.name, table.compared_columns());
    let task = JobKind::Compare { sql, wanted: wanted.digest };
    PoolJob { doing: "computing a digest", table: table.source.clone(), task, light }
}

/// The error for staged tables that differ: says whether the local PostgreSQL still holds what was loaded.
///
/// # Errors
/// `Local*` if that can't be found out.
pub(crate) async fn explain(local: &Session, manifest: &Manifest, differing: &[String]) -> Result<Error> {
    for to_push in manifest.tables.iter().filter(|to_push| differing.contains(&to_push.table.source)) {
        let now = to_push.digest_now(local, &manifest.plan.schema).await?;
        if to_push.recorded_digest().is_some_and(|recorded| recorded != now) {
            let text = "the local PostgreSQL no longer holds what convert loaded; nothing was cut over";
            return Ok(Error::new(Kind::ArtifactStale, text)
                .at_table(&to_push.table.source)
                .with_hint("run `turso2neon convert --fresh`, then `turso2neon push`"));
        }
    }
    let text = format!("what arrived on the target differs from the local PostgreSQL in: {}", differing.join(", "));
    Ok(Error::new(Kind::TargetRejected, text)
        .with_hint("nothing was cut over; run `turso2neon push` again: it loads everything anew"))
}
