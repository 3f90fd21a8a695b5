//! A change of the schema of pushed tables by another command: no push runs meanwhile, a finished migration is not
//! touched, and the record of pushes has the new structure, so that the next push does not take the change for one of
//! others.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    context::Context,
    error::Result,
    model::{PgType, identifier::quote_literal, table_digest::DigestColumn},
    postgres::{PgEndpoint, Session, table_digest},
    stages::push::target::{
        baseline::{self, TableBaseline},
        lifecycle,
        record::SCHEMA,
        schema_owner,
        session::Target,
    },
};

/// A schema whose structure is about to change.
pub struct SchemaChange<'a> {
    schema: &'a str,
    /// The session that holds the lock.
    control: Session,
    /// What the record said of the tables, and how they were.
    before: Vec<TableBaseline>,
    /// Tables that will change and that have the rows of the last push.
    unchanged: BTreeSet<String>,
}

impl<'a> SchemaChange<'a> {
    /// Takes the lock for pushes into the schema, until the value is dropped. `changing` are the tables that will change.
    ///
    /// # Errors
    /// `Locked`, `Finished`, `Target*`, `Interrupted`.
    pub async fn begin(
        ctx: &Context,
        endpoint: &PgEndpoint,
        schema: &'a str,
        lock_wait: Duration,
        changing: &BTreeSet<String>,
    ) -> Result<Self> {
        let target = Target::new(ctx, endpoint, schema, lock_wait);
        let control = target.control().await?;
        target.lock(&control).await?;
        lifecycle::refuse_if_finished(&control, schema).await?;
        schema_owner::require_trusted(&control, &[SCHEMA]).await?;
        let before = baseline::read(&control, schema).await?;
        let mut unchanged = BTreeSet::new();
        for table in before.iter().filter(|table| changing.contains(&table.name)) {
            let (Some(columns), Some(digest)) = (&table.columns, table.digest) else { continue };
            if table.is_gone || table.is_unreadable {
                continue;
            }
            if digest_now(&control, schema, &table.name, columns).await?.is_some_and(|now| now == digest.to_string()) {
                unchanged.insert(table.name.clone());
            }
        }
        Ok(Self { schema, control, before, unchanged })
    }

    /// Records the structure that the tables have now. What others had changed before stays their change. A table whose
    /// pushed columns changed is recorded only if its rows were those of the last push.
    ///
    /// # Errors
    /// `Target*`.
    pub async fn record(&self) -> Result<()> {
        let mut sql = Vec::new();
        for table in baseline::read(&self.control, self.schema).await? {
            let before = self.before.iter().find(|before| before.name == table.name);
            let was_as_pushed = before.is_some_and(|before| before.structure.is_empty() && !before.is_unreadable);
            if table.is_gone && before.is_some_and(|before| !before.is_gone) {
                sql.push(self.forgotten(&table.name));
            }
            if table.is_gone || table.structure.is_empty() || !was_as_pushed {
                continue;
            }
            let digest = if table.is_unreadable { self.digest_of(&table).await? } else { Some(String::new()) };
            sql.extend(digest.map(|digest| self.recorded(&table.name, &digest)));
        }
        if sql.is_empty() {
            return Ok(());
        }
        sql.insert(0, "BEGIN".to_owned());
        sql.push("COMMIT".to_owned());
        self.control.batch("recording the structure of the tables", &sql.join(";\n")).await?;
        baseline::note_structure(&self.control, self.schema).await
    }

    /// The assignments for the digest of a table whose columns changed; none if its rows were not those of the last push
    /// or a column that the digest covers is gone.
    async fn digest_of(&self, table: &TableBaseline) -> Result<Option<String>> {
        let (true, Some(columns)) = (self.unchanged.contains(&table.name), &table.columns) else { return Ok(None) };
        let doing = "reading the columns of a table";
        let sql = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
                   JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped";
        let mut now = Vec::new();
        for row in &self.control.query_rows(doing, sql, &[&self.schema, &table.name]).await? {
            now.push((row.get::<String>(0)?, row.get::<String>(1)?));
        }
        let column = |old: &DigestColumn| {
            let (_, written) = now.iter().find(|(name, _)| *name == old.name)?;
            let pg_type = match (&old.pg_type, written.parse::<PgType>()) {
                // These are written for the search path of the schema that was read.
                (PgType::Enum(_) | PgType::ExistingType(_), _) | (_, Ok(PgType::ExistingType(_)) | Err(_)) => {
                    old.pg_type.clone()
                }
                (_, Ok(known)) => known,
            };
            Some(DigestColumn { name: old.name.clone(), pg_type })
        };
        let Some(columns) = columns.iter().map(column).collect::<Option<Vec<DigestColumn>>>() else { return Ok(None) };
        let Some(digest) = digest_now(&self.control, self.schema, &table.name, &columns).await? else {
            return Ok(None);
        };
        // Names and types always have a JSON form.
        let text = serde_json::to_string(&columns).unwrap_or_default();
        let [text, digest] = [&text, &digest].map(|text| quote_literal(text));
        Ok(Some(format!(", columns = {text}, digest = {digest}, pushed_xid = pg_current_xact_id()::text")))
    }

    /// The statement that forgets the recorded structure; `digest` are more assignments. The contract is what the
    /// catalog says until the next push records its own.
    fn recorded(&self, name: &str, digest: &str) -> String {
        format!(
            "UPDATE turso2neon.tables r SET structure = NULL, contract = NULL{digest} \
             WHERE r.target_schema = {} AND r.state = 'live' AND r.name = {}",
            quote_literal(self.schema),
            quote_literal(name)
        )
    }

    /// The statement that forgets a table, if it was dropped rather than renamed.
    fn forgotten(&self, name: &str) -> String {
        format!(
            "DELETE FROM turso2neon.tables r WHERE r.target_schema = {} AND r.state = 'live' AND r.name = {} \
             AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.oid)",
            quote_literal(self.schema),
            quote_literal(name)
        )
    }
}

/// The digest of a table's rows; none if the server does not compute it.
async fn digest_now(control: &Session, schema: &str, table: &str, columns: &[DigestColumn]) -> Result<Option<String>> {
    let sql = table_digest::recorded_query(schema, table, columns);
    match control.query_value("computing a digest", &sql, &[]).await {
        Ok(digest) => Ok(Some(digest)),
        Err(error) if control.is_lost() => Err(error),
        Err(_) => Ok(None),
    }
}
