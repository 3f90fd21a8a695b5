//! Summarises a plan for documents: one line per decision, findings by subject, and what applications will notice
//! (docs/conversion-rules.md, section 10.1; docs/conversion-rules.md, section 10.2).

use super::{
    conversion_plan::{ColumnPlan, Origin, Plan, TablePlan},
    finding::{Finding, FindingCode},
};

/// A column whose values are not simply the same values in the same type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// SQLite's table.
    pub table: String,
    /// SQLite's column.
    pub column: String,
    /// The declared type, verbatim.
    pub declared: String,
    /// PostgreSQL's type.
    pub pg_type: String,
    /// The rule, then what was found about the values.
    pub reason: String,
    /// How many values of which storage class.
    pub counts: String,
    /// Lines for the configuration that decide otherwise.
    pub options: Vec<String>,
}

impl Decision {
    /// `table.column: DECLARED -> type: reason; counts; option`.
    #[must_use]
    pub fn line(&self) -> String {
        let declared = if self.declared.is_empty() { "(no type)" } else { &self.declared };
        let options = match self.options.as_slice() {
            [] => String::new(),
            options => {
                let quoted: Vec<String> = options.iter().map(|option| format!("`{option}`")).collect();
                format!("; option: {}", quoted.join(" or "))
            }
        };
        let (table, column, pg_type) = (&self.table, &self.column, &self.pg_type);
        format!("{table}.{column}: {declared} -> {pg_type}: {}; {}{options}", self.reason, self.counts)
    }
}

/// Whether every value keeps its kind: integers stay integers, text stays text, and so on.
#[must_use]
pub fn same_value_same_type(column: &ColumnPlan) -> bool {
    let descriptor = column.conversion.descriptor();
    let only_own = column.evidence.classes().iter().all(|class| *class == descriptor.class);
    descriptor.keeps_value_and_type && only_own && !column.records_off_type && column.origin == Origin::Rule
}

/// Every decision of a plan, in its order.
#[must_use]
pub fn decisions(plan: &Plan) -> Vec<Decision> {
    let columns = plan.tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    columns.filter_map(|(table, column)| decision(plan, table, column)).collect()
}

fn decision(plan: &Plan, table: &TablePlan, column: &ColumnPlan) -> Option<Decision> {
    let is_about = |finding: &&Finding| {
        let of_values = [Section::Types, Section::OffType, Section::Spellings].contains(&finding.code.section());
        of_values
            && finding.table.as_deref() == Some(table.source.as_str())
            && finding.column.as_deref() == Some(column.source.as_str())
    };
    let findings: Vec<&Finding> = plan.findings.iter().filter(is_about).collect();
    if findings.is_empty() && same_value_same_type(column) {
        return None;
    }
    let mut reasons = vec![column.rule.as_str()];
    reasons.extend(findings.iter().map(|finding| finding.message.as_str()));
    reasons.retain(|reason| !reason.is_empty());
    reasons.dedup();
    Some(Decision {
        table: table.source.clone(),
        column: column.source.clone(),
        declared: column.declared.clone(),
        pg_type: column.pg_type.to_string(),
        reason: reasons.join("; "),
        counts: counts(column),
        options: findings.iter().flat_map(|finding| finding.choices.clone()).collect(),
    })
}

fn counts(column: &ColumnPlan) -> String {
    let profile = &column.evidence;
    let classes = profile.classes();
    let mut words: Vec<String> = classes.iter().map(|class| format!("{} {class}", profile.count(*class))).collect();
    if profile.nulls > 0 {
        words.push(format!("{} null", profile.nulls));
    }
    if words.is_empty() { "no values".to_owned() } else { words.join(", ") }
}

words! {
    /// What a finding is about.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    #[allow(missing_docs, reason = "`heading` explains each")]
    pub enum Section: heading {
        Types = "Columns that did not take their natural type",
        OffType = "Cells in the off-type table",
        Constraints = "Constraints and defaults changed or not created",
        Objects = "Objects in another form or not carried",
        Names = "Renamed",
        Tables = "Tables left out",
        Spellings = "Same value, other spelling",
        Behaviour = "Behaviour that applications will notice",
        Advice = "Advice",
    }
}

impl FindingCode {
    /// The section of the documents that it stands in.
    #[must_use]
    pub fn section(self) -> Section {
        let within = |codes: &[Self]| codes.contains(&self);
        if within(&[
            Self::TypeWidened,
            Self::EpochAssumed,
            Self::TypeDoesNotFit,
            Self::ValueTooLong,
            Self::VectorExtensionMissing,
            Self::RowTooWide,
        ]) {
            Section::Types
        } else if within(&[Self::ClassMerged, Self::TextNotStorable]) {
            Section::OffType
        } else if within(&[
            Self::GeneratedAsPlain,
            Self::IndexChanged,
            Self::IndexNotCarried,
            Self::ViewNotCarried,
            Self::TriggerNotCarried,
            Self::VirtualTableAsPlain,
        ]) {
            Section::Objects
        } else if self == Self::NameChanged {
            Section::Names
        } else if within(&[Self::TableSkipped, Self::TableNotReadable]) {
            Section::Tables
        } else if self == Self::SpellingNormalised {
            Section::Spellings
        } else if within(&[Self::IdentityExhausted, Self::CollationChanged]) {
            Section::Behaviour
        } else if self == Self::Advice {
            Section::Advice
        } else {
            Section::Constraints
        }
    }
}

/// What applications will notice besides the findings, as sentences.
#[must_use]
pub fn notices(plan: &Plan) -> Vec<String> {
    let mut notices = Vec::new();
    let columns = || plan.tables.iter().flat_map(|table| &table.columns);
    if columns().any(|column| !column.not_null) {
        notices.push("ORDER BY puts NULL last in PostgreSQL and first in SQLite; NULLS FIRST restores it".to_owned());
    }
    if columns().any(|column| column.pg_type.is_text()) {
        notices.push(
            "LIKE minds case in PostgreSQL, ILIKE doesn't; text is ordered by the database's collation, COLLATE \"C\" is \
             SQLite's order"
                .to_owned(),
        );
    }
    if plan.tables.iter().any(|table| !table.foreign_keys.is_empty()) {
        notices.push(
            "foreign keys are enforced by every connection; SQLite enforces them after PRAGMA foreign_keys = ON alone"
                .to_owned(),
        );
    }
    let keyless: Vec<&str> =
        plan.tables.iter().filter(|table| table.primary_key.is_none()).map(|table| table.source.as_str()).collect();
    if !keyless.is_empty() {
        notices.push(format!(
            "tables without a primary key ({}): their rowids are not carried, and logical replication of UPDATE and \
             DELETE needs REPLICA IDENTITY FULL",
            keyless.join(", ")
        ));
    }
    notices
}
