//! The mark of a finished migration. It is on the target, so that a push from any directory and machine finds it.

use crate::{
    error::{Error, Kind, Result},
    model::{identifier::quote_literal, tool_objects::FinishMark},
    postgres::{Parameter, Session, session::Row},
    stages::push::target::{record::SCHEMA, schema_owner},
};

words! {
    /// How far a migration into a schema is, as the target records it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum LifecycleState: word {
        /// It is done; the tables belong to the application.
        Finished = "finished",
    }
}

/// Creates the table of the marks. The schema of the record must exist.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS turso2neon.lifecycle (\
     target_schema text PRIMARY KEY, state text NOT NULL, since timestamptz NOT NULL DEFAULT now(), tool text NOT NULL)";

/// The marks of finished migrations into this database, by schema.
///
/// # Errors
/// `TargetOccupied` if the record's schema is somebody else's, `ArtifactNewer` if the state of a migration is one that
/// this version does not know, `Target*`.
pub(crate) async fn finished(control: &Session) -> Result<Vec<FinishMark>> {
    read(control, "true", &[]).await
}

/// The mark of the migration into this schema.
///
/// # Errors
/// Those of [`finished`].
pub(crate) async fn of_schema(control: &Session, schema: &str) -> Result<Option<FinishMark>> {
    Ok(read(control, "target_schema = $1", &[&schema]).await?.pop())
}

async fn read(control: &Session, condition: &str, values: &[&dyn Parameter]) -> Result<Vec<FinishMark>> {
    let doing = "looking for finished migrations";
    // A view of somebody else's would run that role's code.
    schema_owner::require_trusted(control, &[SCHEMA]).await?;
    let there = "SELECT to_regclass('turso2neon.lifecycle') IS NOT NULL";
    if !control.query_value::<bool>(doing, there, &[]).await? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT target_schema, state, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
         FROM turso2neon.lifecycle WHERE {condition} ORDER BY target_schema COLLATE \"C\""
    );
    control.query_rows(doing, &sql, values).await?.iter().map(mark).collect()
}

fn mark(row: &Row<'_>) -> Result<FinishMark> {
    let (schema, word): (String, &str) = (row.get(0)?, row.get(1)?);
    match word.parse() {
        Ok(LifecycleState::Finished) => Ok(FinishMark { schema, finished_at: row.get(2)? }),
        Err(()) => Err(Error::new(
            Kind::ArtifactNewer,
            format!("the migration into schema {schema} has a state that this version does not know"),
        )
        .with_hint("use the newer turso2neon that recorded it")),
    }
}

/// Refuses to touch the tables of a finished migration.
///
/// # Errors
/// `Finished`, and those of [`finished`].
pub(crate) async fn refuse_if_finished(control: &Session, schema: &str) -> Result<()> {
    match of_schema(control, schema).await? {
        Some(mark) => Err(Error::new(
            Kind::Finished,
            format!(
                "the migration into schema {schema} was finished at {}; its tables are not touched",
                mark.finished_at
            ),
        )),
        None => Ok(()),
    }
}

/// The statements that mark the migration into a schema as finished.
pub(crate) fn mark_finished(schema: &str) -> Vec<String> {
    let [schema, state, tool] = [schema, LifecycleState::Finished.word(), env!("CARGO_PKG_VERSION")].map(quote_literal);
    vec![
        CREATE.to_owned(),
        format!(
            "INSERT INTO turso2neon.lifecycle (target_schema, state, tool) VALUES ({schema}, {state}, {tool}) \
             ON CONFLICT (target_schema) DO NOTHING"
        ),
    ]
}

/// The statement that removes the mark. The table must exist.
pub(crate) fn remove_mark(schema: &str) -> String {
    format!("DELETE FROM turso2neon.lifecycle WHERE target_schema = {}", quote_literal(schema))
}
