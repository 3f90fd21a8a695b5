//! Completes the columns of a trial table when its rows are there: types that PostgreSQL itself reads, domains, defaults
//! and generated columns.

use super::{
    ROW, Trial, TrialTable,
    refused_rows::{RefusedRows, Replacement, SOURCE},
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
};

impl Trial<'_> {
    /// Gives a trial table the columns of the existing table.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) async fn complete_columns(&mut self, at: usize) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let refused = table.definition.columns.iter().filter(|column| table.refused.contains(&column.name));
        for column in refused.cloned().collect::<Vec<_>>() {
            let blank = format!("ADD COLUMN {} {}", quote_ident(&column.name), column.base_type);
            self.leave_blank(at, &column, &blank).await?;
        }
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
            let name = quote_ident(&column.name);
            let blank = format!("ALTER COLUMN {name} TYPE {} USING NULL", column.base_type);
            return self.leave_blank(at, column, &blank).await;
        }
        if column.data_type == column.base_type { Ok(()) } else { self.domain(at, column).await }
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
        let Some(error) = self.attempt(std::slice::from_ref(&alter)).await? else { return Ok(None) };
        let replacement =
            Replacement { column: &column.name, expression: format!("{SOURCE}.{name}::{}", column.data_type) };
        let refused = self.refused_rows(table, &[alter], Some(&replacement)).await?.all;
        if refused.count == 0 { Err(error) } else { Ok(Some(refused)) }
    }

    /// A column whose values can't be loaded gets its type without them, so that the other objects can be tried.
    async fn leave_blank(&mut self, at: usize, column: &ColumnDefinition, action: &str) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let alter = format!("ALTER TABLE {} {action}", qualified(&table.name.schema, &table.name.name));
        self.session.batch("trying the existing schema", &alter).await?;
        self.blank.insert((table.name.name.clone(), column.name.clone()));
        Ok(())
    }

    /// A column that the source lacks gets its default.
    async fn defaults(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let definition = ColumnDefinition { not_null: false, ..column.clone() };
        let written = qualified(&table.name.schema, &table.name.name);
        let add = format!("ALTER TABLE {written} ADD COLUMN {}", definition.sql());
        let Some(error) = self.attempt(&[add]).await? else { return self.default_of_null(at, column).await };
        let message = format!("the default of the column is refused by PostgreSQL: {}", error.message());
        let finding = Finding::new(FindingCode::DefaultNotCarried, Severity::Refused, message);
        let finding = finding.at_table(&table.plan.source).at_column(&column.name);
        self.findings.push(finding.choice("correct the default in the existing schema"));
        let blank = format!("ADD COLUMN {} {}", quote_ident(&column.name), column.base_type);
        self.leave_blank(at, column, &blank).await
    }

    /// A default of a NOT NULL column that gives NULL.
    async fn default_of_null(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        // A column that nothing fills has a finding.
        let is_filled = column.default.is_some() || column.data_type != column.base_type;
        let Some(table) = self.tables.get(at).filter(|_| column.not_null && is_filled) else { return Ok(()) };
        let refused = self.rows_where(table, &format!("t.{} IS NULL", quote_ident(&column.name))).await?;
        if refused.count > 0 {
            let message = format!(
                "{} NULL from the default of the column, which is NOT NULL",
                rows_words(table.plan, &refused, ["gets", "get"])
            );
            let code = FindingCode::NotNullViolated;
            let finding = self.at(at, code, Severity::Refused, column, message, &refused);
            self.findings.extend(finding.map(|one| one.choice("correct the default in the existing schema")));
        }
        Ok(())
    }

    /// PostgreSQL computes a generated column, which may differ from what the source has.
    async fn generated(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let reads_blank = self.blank.iter().any(|(name, blank)| {
            *name == table.name.name && column.generated.as_ref().is_some_and(|text| text.contains(blank.as_str()))
        });
        if reads_blank {
            let blank = format!("ADD COLUMN {} {}", quote_ident(&column.name), column.data_type);
            return self.leave_blank(at, column, &blank).await;
        }
        let written = qualified(&table.name.schema, &table.name.name);
        let add = |column: &ColumnDefinition| format!("ALTER TABLE {written} ADD COLUMN {}", column.sql());
        if let Some(error) = self.attempt(&[add(column)]).await? {
            let refused = self.refused_rows(table, &[add(column)], None).await?;
            let nullable = ColumnDefinition { not_null: false, ..column.clone() };
            let only_null = column.not_null && refused.all.count > 0 && refused.others.count == 0;
            if !only_null || self.attempt(&[add(&nullable)]).await?.is_some() {
                return self.not_computed(at, column, &refused.all, error.message()).await;
            }
            self.computed_null(at, column, &refused.all);
        }
        self.compare_computed(at, column).await
    }

    /// PostgreSQL can't compute a generated column.
    async fn not_computed(
        &mut self,
        at: usize,
        column: &ColumnDefinition,
        refused: &RefusedRows,
        reason: &str,
    ) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
        let message = if refused.count == 0 {
            format!("the generated column can't be computed: {reason}")
        } else {
            let rows = rows_words(table.plan, refused, ["has", "have"]);
            format!("{rows} values for which the generated column can't be computed: {reason}")
        };
        let code = FindingCode::GeneratedValueDiffers;
        let finding = self.at(at, code, Severity::Refused, column, message, refused);
        let choice = "correct the expression in the existing schema, or the values in the source";
        self.findings.extend(finding.map(|finding| finding.choice(choice)));
        let blank = format!("ADD COLUMN {} {}", quote_ident(&column.name), column.data_type);
        self.leave_blank(at, column, &blank).await
    }

    /// The expression of a generated column that is NOT NULL gives NULL.
    fn computed_null(&mut self, at: usize, column: &ColumnDefinition, refused: &RefusedRows) {
        let Some(table) = self.tables.get(at) else { return };
        let message = format!(
            "{} NULL from the expression of the generated column, which is NOT NULL: the column is made without NOT NULL",
            rows_words(table.plan, refused, ["gets", "get"])
        );
        let code = FindingCode::NotNullViolated;
        let accept = format!("--accept {}@{}.{}", code.word(), table.plan.source, column.name);
        let name = table.name.clone();
        let finding = self.at(at, code, Severity::NeedsDecision, column, message, refused);
        self.findings.extend(finding.map(|finding| finding.choice(accept)));
        let form = WeakerForm::NullAllowed { column: column.name.clone() };
        self.weakened.push(WeakenedObject { name, form });
    }

    /// The value of the source and that of the expression.
    async fn compare_computed(&mut self, at: usize, column: &ColumnDefinition) -> Result<()> {
        let Some(table) = self.tables.get(at) else { return Ok(()) };
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
