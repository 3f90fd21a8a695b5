//! The change of all tables in one transaction.
//!
//! Decisions: inserts, updates and deletes of all tables are one statement, because foreign keys are checked, and their
//! actions taken, at the end of a statement: then every table is as it should be, and there is nothing to take action
//! on, in whatever circle the keys point. Triggers of the tables are disabled meanwhile. The digests are compared
//! before the commit, under a lock that lets readers read.

use std::collections::BTreeSet;

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
            in_place_load::{FilledTable, InPlaceLoad},
            load_order,
            row_identity::RowIdentity,
            unique_swaps::{CatalogFacts, ChangedRows},
        },
        target::{
            lock_acquisition::{LockMode, Locks},
            session::{Target, path_setting},
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
    /// The rows to be inserted have the columns too that the source lacks.
    pub has_stored_rows: bool,
}

/// A table that loses all its rows.
pub(crate) struct EmptiedTable<'a> {
    /// How its rows are addressed.
    pub shape: RowIdentity<'a>,
    /// What the catalog says of it.
    pub facts: CatalogFacts,
    /// The digest of the rows that it must have, or nothing is changed.
    pub digest: TableDigest,
}

/// A table whose rows stay, and that others must not have changed.
pub(crate) struct UnchangedTable {
    /// SQLite's name.
    pub source: String,
    /// The query for its digest.
    pub query: String,
    /// The digest that it must have.
    pub digest: TableDigest,
}

/// A change that is ready to be made.
pub(crate) struct ChangeSet<'a> {
    /// The tables' schema.
    pub schema: &'a str,
    /// Where functions that defaults and checks call look for names.
    pub path: &'a [String],
    /// The tables whose rows change.
    pub items: &'a [TableChange<'a>],
    /// Tables that lose all their rows.
    pub emptied: Vec<EmptiedTable<'a>>,
    /// What is loaded into tables of the application.
    pub in_place: Option<InPlaceLoad<'a>>,
    /// Statements that run before the rows change, under the locks: what is kept of them.
    pub keep: Vec<String>,
    /// Statements that run after: sequences, the record.
    pub after: Vec<String>,
    /// Tables, and the digests that they must have before the commit.
    pub wanted: Vec<(RowIdentity<'a>, TableDigest)>,
    /// Tables that stay as they are, or nothing is changed.
    pub unchanged: Vec<UnchangedTable>,
    /// Tables, as SQL, that the statements alter. If there are any, nobody reads the tables meanwhile.
    pub altered: BTreeSet<String>,
}

impl ChangeSet<'_> {
    /// Does it. Gives the source names of tables that would not have had the wanted digest; then nothing is changed.
    /// After `TargetUnreachable` it may have happened or not; the record knows.
    ///
    /// # Errors
    /// `Local*`, `Target*`, `Interrupted`. `TargetRejected` without another try if a constraint refuses the rows.
    pub(crate) async fn run(&self, target: &Target<'_>, control: &Session) -> Result<Vec<String>> {
        let filled = self.filled().iter().filter(|filled| filled.is_there);
        let names = self.items.iter().map(|item| item.shape.table.name.as_str());
        let names = names.chain(self.emptied.iter().map(|one| one.shape.table.name.as_str()));
        let names = names.chain(filled.map(|filled| filled.to_push.table.name.as_str()));
        let mut shared: BTreeSet<String> = names.map(|name| qualified(self.schema, name)).collect();
        shared.extend(self.altered.iter().cloned());
        let strength = if self.altered.is_empty() { LockMode::AgainstWriters } else { LockMode::AgainstEverybody };
        let locks = Locks { target, control, private: Vec::new(), shared: shared.into_iter().collect(), strength };
        locks.with_locks(|begin| self.attempt(control, begin).boxed()).await
    }

    async fn attempt(&self, control: &Session, begin: String) -> Result<Vec<String>> {
        // A row that somebody locks is not waited for as long as it takes PostgreSQL to look for deadlocks.
        let settings = "SET LOCAL lock_timeout = '500ms'; SET LOCAL row_security = off";
        let path = format!("SET LOCAL {}", path_setting(self.path));
        control.batch("taking the locks", &format!("{begin}; {settings}; {path}")).await?;
        let guards = self.emptied.iter().map(|one| self.expected(&one.shape, one.digest));
        let changed = differing(guards, control).await?;
        if !changed.is_empty() {
            control.batch("leaving the transaction", "ROLLBACK").await?;
            return Ok(changed);
        }
        let (mut first, last) = (self.preparation(), self.change_and_end());
        match &self.in_place {
            None => {
                first.extend(last);
                first.extend(self.after.iter().cloned());
                control.batch("changing the rows", &first.join(";\n")).await?;
            }
            Some(in_place) => {
                control.batch("preparing the tables", &first.join(";\n")).await?;
                in_place.fill(control, self.schema).await?;
                control.batch("changing the rows", &last.join(";\n")).await?;
                in_place.number(control, self.schema).await?;
                control.batch("recording the change", &self.after.join(";\n")).await?;
            }
        }
        let wanted = self.wanted.iter().map(|(shape, digest)| self.expected(shape, *digest));
        let unchanged = self.unchanged.iter().map(|one| (one.source.as_str(), one.query.clone(), one.digest));
        let differing = differing(wanted.chain(unchanged), control).await?;
        let end = if differing.is_empty() { "COMMIT" } else { "ROLLBACK" };
        control.batch("committing the change", end).await?;
        Ok(differing)
    }

    fn filled(&self) -> &[FilledTable<'_>] {
        self.in_place.as_ref().map_or(&[], |in_place| in_place.filled.as_slice())
    }

    /// Everything that the catalog says of the tables.
    fn facts(&self) -> impl Iterator<Item = &CatalogFacts> {
        let emptied = self.emptied.iter().map(|one| &one.facts);
        let filled = self.filled().iter().map(|one| &one.facts);
        self.items.iter().map(|item| &item.facts).chain(emptied).chain(filled)
    }

    /// What comes before new rows.
    fn preparation(&self) -> Vec<String> {
        let mut sql: Vec<String> = Vec::new();
        sql.extend(self.in_place.iter().flat_map(|in_place| in_place.statements.before.iter().cloned()));
        sql.extend(self.facts().flat_map(|facts| facts.disable_triggers().0));
        sql.extend(self.keep.iter().cloned());
        if let Some(in_place) = &self.in_place {
            sql.extend(load_order::put_off(self.schema, &in_place.put_off).0);
        }
        for (number, item) in self.items.iter().enumerate() {
            sql.extend(item.facts.free_unique_values(&item.shape, self.schema, &item.rows, number));
        }
        sql.push("SET CONSTRAINTS ALL DEFERRED".to_owned());
        sql
    }

    /// The change of rows, and what brings the tables back into their usual state.
    fn change_and_end(&self) -> Vec<String> {
        let mut sql: Vec<String> = self.change().into_iter().collect();
        sql.push("SET CONSTRAINTS ALL IMMEDIATE".to_owned());
        if let Some(in_place) = &self.in_place {
            sql.extend(load_order::put_off(self.schema, &in_place.put_off).1);
        }
        sql.extend(self.facts().flat_map(|facts| facts.disable_triggers().1));
        sql.extend(self.in_place.iter().flat_map(|in_place| in_place.statements.after.iter().cloned()));
        // What others have put off until the end of a transaction waits for it.
        sql.push("SET CONSTRAINTS ALL DEFERRED".to_owned());
        sql
    }

    /// The one statement.
    fn change(&self) -> Option<String> {
        let mut parts = Vec::new();
        for item in self.items {
            let TableChange { shape, facts, rows, has_stored_rows } = item;
            parts.push(if *has_stored_rows {
                shape.insert_stored(self.schema, &rows.inserts)
            } else {
                shape.insert(self.schema, &rows.inserts)
            });
            parts.extend(shape.update(self.schema, &rows.updates));
            if !facts.deletes_first(shape) {
                parts.push(shape.delete(self.schema, &rows.deletes));
            }
        }
        parts.extend(self.emptied.iter().map(|one| one.shape.delete_all(self.schema)));
        let parts: Vec<String> =
            parts.into_iter().enumerate().map(|(number, part)| format!("c{number} AS ({part})")).collect();
        (!parts.is_empty()).then(|| format!("WITH {} SELECT", parts.join(",\n")))
    }

    /// A table by SQLite's name, the query for its digest, and the digest that it must have.
    fn expected<'b>(&self, shape: &'b RowIdentity<'_>, digest: TableDigest) -> ExpectedRows<'b> {
        let table = shape.table;
        (&table.source, table_digest::query(self.schema, &table.name, table.compared_columns()), digest)
    }
}

/// A table by SQLite's name, the query for its digest, and the digest that it must have.
type ExpectedRows<'a> = (&'a str, String, TableDigest);

/// Source names of tables that do not have these digests.
async fn differing<'a>(tables: impl Iterator<Item = ExpectedRows<'a>>, control: &Session) -> Result<Vec<String>> {
    let query = |(source, digest, wanted): ExpectedRows<'_>| {
        let [source, wanted] = [source, &wanted.to_string()].map(quote_literal);
        format!("SELECT {source}::text WHERE ({digest}) IS DISTINCT FROM {wanted}")
    };
    let queries: Vec<String> = tables.map(query).collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let doing = "comparing digests before the commit";
    let rows = control.query_rows(doing, &queries.join(" UNION ALL "), &[]).await?;
    rows.iter().map(|row| row.get(0)).collect()
}
