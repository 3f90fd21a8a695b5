//! Completes the columns of a trial table when its rows are there: types that PostgreSQL itself reads, domains, defaults
//! and generated columns.

use super::{
    ROW, Trial, TrialTable,
    refused_rows::{RefusedRows, Replacement},
    rows_words,
    tables::source_value,
    tried_columns,
};
use crate::{
    error::Result,
    model::{
        Conversion, Finding, FindingCode, Severity,
        catalog::ColumnDefinition,
        existing_schema::{WeakenedObject, WeakerForm},
        identifier::{qualified, quote_ident},
    },
    postgres::catalog::column_definition,
};

impl Trial<'_> {
    /// Gives a trial table the columns of the existing table.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) async fn complete_columns(&mut self, at: usize) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let names = tried_columns(table);
        let columns: Vec<ColumnDefinition> =
            table.definition.columns.iter().filter(|column| names.contains(column.name.as_str())).cloned().collect();
        for column in &columns {
            let plan = self.tables.get(at).and_then(|table| table.plan.column(&column.name));
            let loaded = plan.filter(|plan| plan.conversion != Conversion::Absent && column.generated.is_none());
            match loaded {
                Some(plan) if plan.by_text_input() => self.read_text(at, column).await?,
                Some(_) if column.data_type != column.base_type => self.domain(at, column).await?,
                Some(_) => {}
                None if column.generated.is_none() => self.defaults(at, column).await?,
                None => {}
            }
        }
        // They read the other columns.
        for column in columns.iter().filter(|column| column.generated.is_some()) {
            self.generated(at, column).await?;
        }
        Ok(())
    }

    /// Text becomes the type by PostgreSQL's own input.
    async fn read_text(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        let base = ColumnDefinition { data_type: column.base_type.clone(), ..column.clone() };
        if let Some(refused) = self.change_type(at, &base).await? {
            let Some(table) = self.tables.get(at) else { return Ok(()) };
            let message = format!(
                "{} a value that PostgreSQL can't read as {}",
                rows_words(table.plan, &refused, ["has", "have"]),
                column.base_type
            );
            let finding = self.at(at, FindingCode::TypeDoesNotFit, Severity::Refused, column, message, &refused);
            let choice = "correct the values in the source and dump again, or the type in the existing schema";
            self.findings.extend(finding.map(|finding| finding.choice(choice)));
            return Ok(());
        }
        if column.data_type != column.base_type { self.domain(at, column).await } else { Ok(()) }
    }

    /// The values of a column become those of its domain.
    async fn domain(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        let Some(refused) = self.change_type(at, column).await? else { return Ok(()) };
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let message = format!(
            "{} the domain {}: the column is created with the type {}",
            rows_words(table.plan, &refused, ["breaks", "break"]),
            column.data_type,
            column.base_type
        );
        let accept = format!("--accept check-violated@{}.{}", table.plan.source, column.name);
        let name = table.name.clone();
        let finding = self.at(at, FindingCode::CheckViolated, Severity::NeedsDecision, column, message, &refused);
        self.findings.extend(finding.map(|finding| finding.choice(accept)));
        let form = WeakerForm::BaseType { column: column.name.clone(), base: column.base_type.clone() };
        self.weakened.push(WeakenedObject { name, form });
        Ok(())
    }

    /// Gives a column its type; the rows that it refuses, if it refuses some.
    async fn change_type(&self, at: usize, column: &ColumnDefinition) -> Result<Option<RefusedRows>> {
        let Some(table) = self.tables.get(at) else { return Ok(None) };
        let name = quote_ident(&column.name);
        let alter = format!(
            "ALTER TABLE {} ALTER COLUMN {name} TYPE {} USING {name}::{}",
            qualified(&table.name.schema, &table.name.name),
            column.data_type,
            column.data_type
        );
        let Some(error) = self.attempt(&[alter.clone()]).await? else { return Ok(None) };
        let replacement = Replacement { column: &column.name, expression: format!("(r).{name}::{}", column.data_type) };
        let refused = self.refused_rows(table, &[alter], Some(&replacement)).await?;
        if refused.count == 0 { Err(error) } else { Ok(Some(refused)) }
    }

    /// A column that the source lacks gets its default.
    async fn defaults(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let definition = ColumnDefinition { not_null: false, ..column.clone() };
        let written = qualified(&table.name.schema, &table.name.name);
        let add = format!("ALTER TABLE {written} ADD COLUMN {}", column_definition(&definition));
        let Some(error) = self.attempt(&[add]).await? else { return Ok(()) };
        let message = format!("the default of the column is refused by PostgreSQL: {}", error.message());
        let finding = Finding::new(FindingCode::DefaultNotCarried, Severity::Refused, message);
        let finding = finding.at_table(&table.plan.source).at_column(&column.name);
        self.findings.push(finding.choice("correct the default in the existing schema"));
        Ok(())
    }

    /// PostgreSQL computes a generated column, which may differ from what the source has.
    async fn generated(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let written = qualified(&table.name.schema, &table.name.name);
        let add = format!("ALTER TABLE {written} ADD COLUMN {}", column_definition(column));
        if let Some(error) = self.attempt(&[add]).await? {
            let message = format!("the generated column can't be computed: {}", error.message());
            let finding = Finding::new(FindingCode::GeneratedValueDiffers, Severity::Refused, message);
            let finding = finding.at_table(&table.plan.source).at_column(&column.name);
            self.findings
                .push(finding.choice("correct the expression in the existing schema, or the values in the source"));
            return Ok(());
        }
        let loaded = table.plan.column(&column.name).is_some_and(|plan| plan.conversion != Conversion::Absent);
        if !loaded {
            return Ok(());
        }
        let (computed, source) = (quote_ident(&column.name), quote_ident(&source_value(&column.name)));
        let condition = format!("t.{computed}::text COLLATE \"C\" IS DISTINCT FROM t.{source}::text COLLATE \"C\"");
        let refused = self.rows_where(table, &condition).await?;
        if refused.count == 0 {
            return Ok(());
        }
        let message = format!(
            "{} another value in the source than the expression of the existing schema gives: the value of the \
             expression is kept",
            rows_words(table.plan, &refused, ["has", "have"])
        );
        let accept = format!("--accept generated-value-differs@{}.{}", table.plan.source, column.name);
        let code = FindingCode::GeneratedValueDiffers;
        let finding = self.at(at, code, Severity::NeedsDecision, column, message, &refused);
        self.findings.extend(finding.map(|finding| finding.choice(accept)));
        Ok(())
    }

    fn at(
        &self,
        at: usize,
        code: FindingCode,
        severity: Severity,
        column: &ColumnDefinition,
        message: String,
        refused: &RefusedRows,
    ) -> Option<Finding> {
        let table: &TrialTable<'_> = self.tables.get(at)?;
        let source = table.plan.column(&column.name).map_or(&column.name, |plan| &plan.source);
        let finding = Finding::new(code, severity, message).at_table(&table.plan.source).at_column(source);
        Some(finding.counting(refused.count))
    }

    /// The rows of a trial table that a condition is true for. The table is called `t` in it.
    ///
    /// # Errors
    /// `LocalRejected`, `LocalUnreachable`.
    pub(super) async fn rows_where(&self, table: &TrialTable<'_>, condition: &str) -> Result<RefusedRows> {
        let written = qualified(&table.name.schema, &table.name.name);
        let sql = format!(
            "SELECT count(*), coalesce((array_agg(t.{ROW} ORDER BY t.{ROW}))[1:3], '{{}}') FROM {written} AS t WHERE {condition}"
        );
        let row = self.session.query_row("counting rows", &sql, &[]).await?;
        Ok(RefusedRows { count: row.count(0)?, first: row.get(1)? })
    }
}
