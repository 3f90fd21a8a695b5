//! Drafts the plan of a table: its declaration, its values, and the chosen types.

use super::{
    offtype_policy,
    table_outline::{ColumnOutline, TableOutline, subject},
};
use crate::{
    model::{
        Finding, FindingCode, Severity, cell::StorageClass, column_profile::ColumnProfile, conversion_plan::RowAddress,
    },
    rules::{
        type_choice::{
            self, ColumnInput, TypeChoice, fk_types::ColumnPosition, toml_text, value_check::FIELD_BYTES_MOST,
        },
        value_shape::word,
    },
    sqlite::profile::{ColumnSurvey, Mismatches, TableSurvey},
};

/// PostgreSQL's most columns (PostgreSQL, Appendix K).
const COLUMNS_MOST: usize = 1600;

/// What a heap row may take in its page.
const PAGE_ROW_BYTES_MOST: u64 = 8160;

/// A `bytea` beyond this can't be read back as text, so that `pg_dump` of its table fails.
const DUMPABLE_BYTES_MOST: u64 = 500_000_000;

/// A table with its values known.
pub(super) struct TableDraft<'a> {
    pub(super) outline: TableOutline<'a>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Rows that are left out.
    pub(super) rejected: u64,
    pub(super) columns: Vec<DraftColumn>,
    /// Findings about the table as a whole.
    pub(super) findings: Vec<Finding>,
    pub(super) vector_extension: bool,
}

/// A column with its values known.
pub(super) struct DraftColumn {
    pub(super) profile: ColumnProfile,
    /// The cells that the configuration's type doesn't take.
    pub(super) mismatches: Mismatches,
    pub(super) choice: TypeChoice,
}

impl<'a> TableDraft<'a> {
    /// Chooses every type by itself; see `fk_unification` for what columns owe each other.
    pub(super) fn new(outline: TableOutline<'a>, survey: TableSurvey, vector_extension: bool) -> Self {
        let findings = size_findings(&outline, &survey);
        let (rows, bytes) = (survey.rows, survey.bytes);
        let mut draft = Self { outline, rows, bytes, rejected: 0, columns: Vec::new(), findings, vector_extension };
        let columns = draft.outline.columns.iter().zip(survey.columns);
        let outline = &draft.outline;
        draft.columns =
            columns.map(|(column, survey)| draft_column(outline, column, survey, vector_extension)).collect();
        draft
    }

    /// The position of a planned column by its source name.
    pub(super) fn column_named(&self, name: &str) -> Option<usize> {
        self.outline.columns.iter().position(|column| column.source.name.eq_ignore_ascii_case(name))
    }

    /// Hands a column to a rule that gives it another choice; what was found about its values stays.
    pub(super) fn rechoose(&mut self, at: usize, rule: impl FnOnce(&ColumnInput<'_>) -> Option<TypeChoice>) -> bool {
        let (Some(column), Some(outline)) = (self.columns.get_mut(at), self.outline.columns.get(at)) else {
            return false;
        };
        let subject = subject(&self.outline, outline, &column.profile, self.vector_extension);
        let Some(mut choice) = rule(&subject) else { return false };
        offtype_policy::apply(&subject, &self.outline, outline.decision, column.mismatches, &mut choice);
        column.choice = choice;
        true
    }
}

/// A column with the type that the configuration or the rules give.
pub(super) fn draft_column(
    outline: &TableOutline<'_>,
    column: &ColumnOutline<'_>,
    survey: ColumnSurvey,
    vector_extension: bool,
) -> DraftColumn {
    let subject = subject(outline, column, &survey.profile, vector_extension);
    let chosen = offtype_policy::decided(&subject, &column.candidates(), &survey);
    let (mut choice, mismatches) = chosen.unwrap_or_else(|| (type_choice::choose(&subject), Mismatches::default()));
    offtype_policy::apply(&subject, outline, column.decision, mismatches, &mut choice);
    choice.findings.extend(column_findings(&subject, column, &choice));
    DraftColumn { profile: survey.profile, mismatches, choice }
}

/// Values beyond what a field takes, and what a column could be besides.
fn column_findings(subject: &ColumnInput<'_>, column: &ColumnOutline<'_>, choice: &TypeChoice) -> Vec<Finding> {
    let profile = subject.profile;
    let written = if choice.pg_type.is_text() { profile.blob_longest.saturating_mul(2) } else { profile.blob_longest };
    let longest = profile.text_longest.1.max(written);
    let mut findings = Vec::new();
    if longest > FIELD_BYTES_MOST {
        let message = format!("a value of {longest} bytes is more than PostgreSQL takes in one field (1 GB)");
        let finding = subject.finding(FindingCode::ValueTooLong, Severity::Refused, message);
        findings.push(finding.choice(format!("exclude = [{}]", toml_text(subject.table))));
    } else if longest > DUMPABLE_BYTES_MOST {
        let message = format!("a value of {longest} bytes loads, but pg_dump of this table fails on it");
        findings.push(subject.finding(FindingCode::ValueTooLong, Severity::Warning, message));
    }
    let documents = profile.shape(word::JSONB) + profile.shape(word::JSON);
    let is_document = column.checked_json && documents > 0 && documents == profile.count(StorageClass::Text);
    if is_document && choice.pg_type.is_text() {
        let fits = if profile.shape(word::JSON) == 0 { "jsonb" } else { "json" };
        let message = format!("a check wants JSON and every text is: the column could be {fits}");
        let setting = type_choice::column_setting(subject.table, &subject.column.name, &format!("type = \"{fits}\""));
        findings.push(subject.finding(FindingCode::Advice, Severity::Info, message).choice(setting));
    }
    findings
}

/// Tables and rows that don't fit PostgreSQL's limits (docs/conversion-rules.md, section 2.2).
fn size_findings(outline: &TableOutline<'_>, survey: &TableSurvey) -> Vec<Finding> {
    let finding =
        |code, severity, message: String| Finding::new(code, severity, message).at_table(&outline.source.name);
    let place = |at: i64| match outline.address {
        RowAddress::Rowid(_) => format!("rowid {at}"),
        RowAddress::PrimaryKey | RowAddress::Ordinal | RowAddress::Absent => format!("row {at}"),
    };
    let exclude = || format!("exclude = [{}]", toml_text(&outline.source.name));
    let mut findings = Vec::new();
    if outline.columns.len() > COLUMNS_MOST {
        let message = format!("{} columns are more than PostgreSQL's {COLUMNS_MOST}", outline.columns.len());
        findings.push(finding(FindingCode::RowTooWide, Severity::Refused, message).choice(exclude()));
    }
    if let Some((bytes, at)) = survey.heaviest.filter(|(bytes, _)| *bytes > FIELD_BYTES_MOST) {
        let message = format!("{} has {bytes} bytes, more than PostgreSQL takes in one row (1 GB)", place(at));
        findings.push(finding(FindingCode::ValueTooLong, Severity::Refused, message).choice(exclude()));
    }
    if let Some((bytes, at)) = survey.widest.filter(|(bytes, _)| *bytes > PAGE_ROW_BYTES_MOST) {
        let message = format!(
            "{} needs about {bytes} bytes in a page that has {PAGE_ROW_BYTES_MOST} for it, even with all long values moved out",
            place(at)
        );
        findings.push(
            finding(FindingCode::RowTooWide, Severity::NeedsDecision, message)
                .choice(exclude())
                .choice(format!("--accept row-too-wide@{}", outline.source.name)),
        );
    }
    findings
}

/// The positions of a draft and its column by their source names.
pub(super) fn planned_column(drafts: &[TableDraft<'_>], table: &str, column: &str) -> Option<ColumnPosition> {
    let at = drafts.iter().position(|draft| draft.outline.source.name.eq_ignore_ascii_case(table))?;
    Some((at, drafts.get(at)?.column_named(column)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::overrides::Overrides,
        sqlite::catalog,
        stages::plan::{override_resolution::resolve, table_outline::outlines},
    };

    /// What is found about a table whose longest value and largest row have so many bytes.
    fn found(value_bytes: u64, row_bytes: u64) -> Vec<(FindingCode, Severity)> {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(x TEXT)").unwrap();
        let schema = catalog::read(&connection).unwrap();
        let decisions = resolve(&schema, &Overrides::default()).unwrap();
        let mut column = ColumnSurvey::default();
        column.profile.text_longest = (value_bytes, value_bytes);
        let survey = TableSurvey { heaviest: Some((row_bytes, 1)), columns: vec![column], ..TableSurvey::default() };
        let draft = TableDraft::new(outlines(&schema, &decisions, false).remove(0), survey, false);
        let findings = draft.columns.iter().flat_map(|column| &column.choice.findings).chain(&draft.findings);
        findings.map(|finding| (finding.code, finding.severity)).collect()
    }

    #[test]
    fn values_beyond_a_gigabyte_are_refused_and_those_that_pg_dump_cannot_write_are_named() {
        let [refused, named] = [Severity::Refused, Severity::Warning].map(|level| (FindingCode::ValueTooLong, level));
        assert_eq!(found(DUMPABLE_BYTES_MOST, DUMPABLE_BYTES_MOST), []);
        assert_eq!(found(DUMPABLE_BYTES_MOST + 1, DUMPABLE_BYTES_MOST + 1), [named]);
        assert_eq!(found(FIELD_BYTES_MOST + 1, FIELD_BYTES_MOST + 1), [refused, refused]);
        assert_eq!(found(1, FIELD_BYTES_MOST + 1), [refused]);
    }
}
