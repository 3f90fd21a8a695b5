//! Defines findings: what the plan noticed and the user should know or decide.

use serde::{Deserialize, Serialize};

words! {
    /// How much a finding matters.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Severity: word {
        /// Same value in another spelling, or advice.
        Info = "info",
        /// An object is not carried, or a constraint is carried in another form.
        Warning = "warning",
        /// A value would be changed, rejected or left out, or a constraint that guards data would be dropped.
        NeedsDecision = "needs a decision",
        /// PostgreSQL can't hold it as planned: exit 5 until a type or a choice is configured.
        Refused = "refused",
    }
}

words! {
    /// The closed list of codes, stable for scripts and for `[accept]`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    #[allow(missing_docs, reason = "the code is the documentation; `meaning` explains each")]
    pub enum FindingCode: word {
        TypeWidened = "type-widened",
        ClassMerged = "class-merged",
        SpellingNormalised = "spelling-normalised",
        EpochAssumed = "epoch-assumed",
        Advice = "advice",
        TextNotStorable = "text-not-storable",
        ValueTooLong = "value-too-long",
        TypeDoesNotFit = "type-does-not-fit",
        VectorExtensionMissing = "vector-extension-missing",
        NullsInPrimaryKey = "nulls-in-primary-key",
        KeysMerged = "keys-merged",
        NotNullViolated = "not-null-violated",
        CheckViolated = "check-violated",
        CheckNotCarried = "check-not-carried",
        GeneratedValueDiffers = "generated-value-differs",
        OrphanRows = "orphan-rows",
        ForeignKeyNotCarried = "foreign-key-not-carried",
        DefaultNotCarried = "default-not-carried",
        GeneratedAsPlain = "generated-as-plain",
        IndexChanged = "index-changed",
        IndexNotCarried = "index-not-carried",
        CollationChanged = "collation-changed",
        UniqueNotCarried = "unique-not-carried",
        ClauseNotCarried = "clause-not-carried",
        ViewNotCarried = "view-not-carried",
        TriggerNotCarried = "trigger-not-carried",
        VirtualTableAsPlain = "virtual-table-as-plain",
        TableSkipped = "table-skipped",
        ColumnSkipped = "column-skipped",
        TableNotReadable = "table-not-readable",
        NameChanged = "name-changed",
        IdentityExhausted = "identity-exhausted",
        RowTooWide = "row-too-wide",
    }
}

/// One thing that the plan noticed. Names places and counts, never values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub code: FindingCode,
    /// How much it matters.
    pub severity: Severity,
    /// The source table, view or trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The source column, or the name of an index or constraint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// One sentence: what, why.
    pub message: String,
    /// How many rows or cells are concerned, where it is about rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What the user can choose, each a line for the configuration or a flag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The original SQL of an object that is not carried or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Accepted by configuration or flag.
    #[serde(default)]
    pub accepted: bool,
}

impl Finding {
    /// A finding without place, count and choices.
    pub fn new(code: FindingCode, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            table: None,
            column: None,
            message: message.into(),
            count: None,
            choices: Vec::new(),
            sql: None,
            accepted: false,
        }
    }

    /// Names the table.
    #[must_use]
    pub fn at_table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Names the column, index or constraint.
    #[must_use]
    pub fn at_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// Says how many rows or cells.
    #[must_use]
    pub fn counting(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Adds a choice.
    #[must_use]
    pub fn choice(mut self, choice: impl Into<String>) -> Self {
        self.choices.push(choice.into());
        self
    }

    /// Keeps the object's SQL for finishing by hand.
    #[must_use]
    pub fn with_sql(mut self, sql: impl Into<String>) -> Self {
        self.sql = Some(sql.into());
        self
    }

    /// `table.column`, `table` or nothing.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.table, &self.column) {
            (Some(table), Some(column)) => format!("{table}.{column}"),
            (Some(table), None) => table.clone(),
            (None, Some(column)) => column.clone(),
            (None, None) => String::new(),
        }
    }

    /// Whether loading must wait for a decision.
    #[must_use]
    pub fn blocks(&self) -> bool {
        !self.accepted && self.severity >= Severity::NeedsDecision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_its_word_and_its_json() {
        for code in FindingCode::ALL {
            assert_eq!(code.word().parse(), Ok(code));
            assert_eq!(serde_json::to_value(code).ok(), Some(serde_json::Value::from(code.word())));
        }
    }
}
