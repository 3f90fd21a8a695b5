//! The change of all tables in one transaction.
//!
//! Decisions: inserts, updates and deletes of all tables are one statement, because foreign keys are checked, and their
//! actions taken, at the end of a statement: then every table is as it should be, and there is nothing to take action
//! on, in whatever circle the keys point. Triggers of the tables are disabled meanwhile. The digests are compared
//! before the commit, under a lock that lets readers read.

use futures_util::FutureExt;

use crate::{
    error::Result,
    model::{
        TableDigest,
        identifier::{qualified, quote_literal},
    },
    postgres::{Session, table_digest},
    stages::push::{
        diff::{
            row_identity::RowIdentity,
            unique_swaps::{CatalogFacts, ChangedRows},
        },
        target::{
            lock_acquisition::{LockMode, Locks},
            session::Target,
        },
    },
};

/// One table that is changed.
pub(crate) struct TableChange<'a> {
    /// How its rows are compared.
    pub shape: RowIdentity<'a>,
    /// What the catalog says of it.
    pub facts: CatalogFacts,
    /// The rows.
    pub rows: ChangedRows,
}

/// A change that is ready to be made.
pub(crate) struct ChangeSet<'a> {
    /// The tables' schema.
    pub schema: &'a str,
    /// The tables whose rows change.
    pub items: &'a [TableChange<'a>],
    /// Statements that run before the rows change, under the locks: what is kept of them.
    pub keep: Vec<String>,
    /// Statements that run after: sequences, the record.
    pub after: Vec<String>,
    /// Tables, and the digests that they must have before the commit.
    pub wanted: Vec<(RowIdentity<'a>, TableDigest)>,
}

impl ChangeSet<'_> {
    /// Does it. Gives the source names of tables that would not have had the wanted digest; then nothing is changed.
    /// After `TargetUnreachable` it may have happened or not; the record knows.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`. `TargetRejected` without another try if a constraint refuses the rows.
    pub(crate) async fn run(&self, target: &Target<'_>, control: &Session) -> Result<Vec<String>> {
        let changes = self.statements().join(";\n");
        let locks = Locks {
            target,
            control,
            private: Vec::new(),
            shared: self.items.iter().map(|item| qualified(self.schema, &item.shape.table.name)).collect(),
            strength: LockMode::AgainstWriters,
        };
        locks.with_locks(|begin| self.attempt(control, begin, &changes).boxed()).await
    }

    async fn attempt(&self, control: &Session, begin: String, changes: &str) -> Result<Vec<String>> {
        // A row that somebody locks is not waited for as long as it takes PostgreSQL to look for deadlocks.
        let settings = "SET LOCAL lock_timeout = '500ms'; SET LOCAL row_security = off";
        control.batch("taking the locks", &format!("{begin}; {settings}")).await?;
        control.batch("changing the rows", changes).await?;
        let differing = self.differing(control).await?;
        let end = if differing.is_empty() { "COMMIT" } else { "ROLLBACK" };
        control.batch("committing the change", end).await?;
        Ok(differing)
    }

    fn statements(&self) -> Vec<String> {
        let mut sql = Vec::new();
        let mut trigger_toggles = Vec::new();
        for item in self.items {
            let (off, on) = item.facts.disable_triggers(&qualified(self.schema, &item.shape.table.name));
            sql.extend(off);
            trigger_toggles.extend(on);
        }
        sql.extend(self.keep.iter().cloned());
        for (number, item) in self.items.iter().enumerate() {
            sql.extend(item.facts.free_unique_values(&item.shape, self.schema, &item.rows, number));
        }
        sql.push("SET CONSTRAINTS ALL DEFERRED".to_owned());
        sql.extend(self.change());
        sql.push("SET CONSTRAINTS ALL IMMEDIATE".to_owned());
        sql.extend(trigger_toggles);
        // What others have put off until the end of a transaction waits for it.
        sql.push("SET CONSTRAINTS ALL DEFERRED".to_owned());
        sql.extend(self.after.iter().cloned());
        sql
    }

    /// The one statement.
    fn change(&self) -> Option<String> {
        let mut parts = Vec::new();
        for item in self.items {
            let TableChange { shape, facts, rows } = item;
            parts.push(shape.insert(self.schema, &rows.inserts));
            parts.extend(shape.update(self.schema, &rows.updates));
            if !facts.deletes_first(shape) {
                parts.push(shape.delete(self.schema, &rows.deletes));
            }
        }
        let parts: Vec<String> =
            parts.into_iter().enumerate().map(|(number, part)| format!("c{number} AS ({part})")).collect();
        (!parts.is_empty()).then(|| format!("WITH {} SELECT", parts.join(",\n")))
    }

    async fn differing(&self, control: &Session) -> Result<Vec<String>> {
        let query = |(shape, wanted): &(RowIdentity<'_>, TableDigest)| {
            let table = shape.table;
            let digest = table_digest::query(self.schema, &table.name, &table.columns);
            let source = quote_literal(&table.source);
            format!("SELECT {source}::text WHERE ({digest}) IS DISTINCT FROM {}", quote_literal(&wanted.to_string()))
        };
        let queries: Vec<String> = self.wanted.iter().map(query).collect();
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "comparing digests before the commit";
        let rows = control.query_rows(doing, &queries.join(" UNION ALL "), &[]).await?;
        rows.iter().map(|row| row.get(0)).collect()
    }
}
