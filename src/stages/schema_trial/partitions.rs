//! Puts the rows of a partitioned table into its partitions.

use super::{ROW, Trial, TrialTable, refused_rows, rows_words};
use crate::{
    error::Result,
    model::{
        Finding, FindingCode, Severity,
        catalog::CatalogObject,
        identifier::{qualified, quote_list},
    },
};

impl Trial<'_> {
    /// The trial table that an object is a partition of, through other partitions too.
    pub(super) fn trial_above(&self, object: &CatalogObject) -> Option<&TrialTable<'_>> {
        let root = self.existing.catalog.partition_root(&object.name);
        self.tables
            .iter()
            .find(|table| *table.name == object.name || table.name == root)
            .filter(|_| *root != object.name)
    }

    /// Creates the partitions of a trial table whose columns are complete. Rows outside of all of them can't be loaded.
    ///
    /// # Errors
    /// `LocalRejected`, `LocalUnreachable`.
    pub(super) async fn divide(&mut self, at: usize) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let Some(key) = &table.definition.partition_by else { return Ok(()) };
        let (written, aside) = (qualified(&table.name.schema, &table.name.name), refused_rows::aside(table));
        let parts: Vec<&CatalogObject> = self
            .existing
            .catalog
            .objects
            .iter()
            .filter(|object| self.trial_above(object).is_some_and(|above| above.name == table.name))
            .collect();
        let mut create = vec![format!("CREATE TABLE {written} (LIKE {aside} INCLUDING GENERATED) PARTITION BY {key}")];
        create.extend(parts.iter().flat_map(|part| part.create.iter().cloned()));
        let columns = self.plain_columns(&table.name.schema, &table.name.name).await?;
        let list = quote_list(columns.iter().map(String::as_str));
        let mut statements = vec![format!("ALTER TABLE {written} RENAME TO {}", refused_rows::ASIDE)];
        statements.extend(create.iter().cloned());
        statements.push(format!("INSERT INTO {written} ({list}) SELECT {list} FROM {aside} ORDER BY {ROW}"));
        statements.push(format!("DROP TABLE {aside}"));
        let Some(error) = self.attempt(&statements).await? else { return Ok(()) };
        let refused = self.rows_not_taken(table, &create, None).await?.all;
        if refused.count == 0 {
            return Err(error);
        }
        let message = format!(
            "{} outside of all partitions of the existing table",
            rows_words(table.plan, &refused, ["is", "are"])
        );
        let finding = Finding::new(FindingCode::CheckViolated, Severity::Refused, message);
        let finding = finding.at_table(&table.plan.source).counting(refused.count);
        let names: Vec<_> = parts.iter().map(|part| part.name.name.as_str()).collect();
        self.findings.push(
            finding
                .choice("add a partition for them to the existing schema")
                .choice("correct the rows in the source and dump again"),
        );
        self.untried.extend(names);
        Ok(())
    }
}
