//! Tables on their way to a plan: what is declared, what the values are, which type was chosen.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    offtype_policy,
    override_resolution::{Decision, Decisions},
};
use crate::{
    model::{
        Finding, FindingCode, PgType, Severity,
        cell::StorageClass,
        column_profile::ColumnProfile,
        conversion_plan::RowAddress,
        identifier::quote_ident,
        source_schema::{IndexKey, SourceColumn, SourceSchema, SourceTable, TableKind},
    },
    rules::{
        constraints,
        type_choice::{
            self, Choice, Role, Subject, declared_type,
            fk_types::Position,
            value_check::{self, FIELD_BYTES_MOST},
        },
        value_shape::{TextShape, word},
    },
    sqlite::profile::{Candidate, ColumnScan, Misfits, Ranges, TableScan, TableSurvey},
};

/// PostgreSQL's most columns (PostgreSQL, Appendix K).
const COLUMNS_MOST: usize = 1600;

/// How many columns a result may have (SQLite "Limits", section 3).
const RESULT_COLUMNS_MOST: usize = 2000;

/// What a heap row may take in its page.
const PAGE_ROW_BYTES_MOST: u64 = 8160;

/// A `bytea` beyond this can't be read back as text, so that `pg_dump` of its table fails.
const DUMPABLE_BYTES_MOST: u64 = 500_000_000;

/// A table without values yet.
pub(super) struct Outline<'a> {
    pub(super) source: &'a SourceTable,
    pub(super) address: RowAddress,
    pub(super) columns: Vec<ColumnOutline<'a>>,
}

/// A column without values yet.
pub(super) struct ColumnOutline<'a> {
    pub(super) source: &'a SourceColumn,
    pub(super) role: Role,
    pub(super) decision: Option<&'a Decision>,
    /// The type that the configuration asks for, by name or by what it says about values that don't fit.
    pub(super) wish: Option<PgType>,
    /// A CHECK says that it holds JSON.
    checked_json: bool,
}

/// A table with its values known.
pub(super) struct Draft<'a> {
    pub(super) outline: Outline<'a>,
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
    pub(super) misfits: Misfits,
    pub(super) choice: Choice,
}

/// The tables that are planned, in the schema's order.
pub(super) fn outlines<'a>(
    schema: &'a SourceSchema,
    decisions: &'a Decisions,
    vector_extension: bool,
) -> Vec<Outline<'a>> {
    let referenced = referenced_columns(schema);
    let planned = schema.tables.iter().enumerate().zip(&decisions.selected).filter(|(_, selected)| **selected);
    let outline = |(position, source)| outline(position, source, decisions, &referenced).with_wishes(vector_extension);
    planned.map(|(found, _)| outline(found)).collect()
}

fn outline<'a>(
    position: usize,
    source: &'a SourceTable,
    decisions: &'a Decisions,
    referenced: &BTreeSet<(String, String)>,
) -> Outline<'a> {
    let roles = roles(source, referenced);
    let visible = source.columns.iter().enumerate().filter(|(_, column)| !column.hidden);
    let columns = visible.map(|(at, column)| ColumnOutline {
        source: column,
        role: roles.get(&column.name.to_ascii_lowercase()).copied().unwrap_or(Role::Plain),
        decision: decisions.columns.get(&(position, at)),
        wish: None,
        checked_json: source.checks.iter().any(|check| {
            let text = check.expression.to_ascii_lowercase();
            text.contains("json_valid") && text.contains(&column.name.to_ascii_lowercase())
        }),
    });
    let address = match (&source.kind, &source.rowid_name) {
        (TableKind::Rowid, Some(name)) => RowAddress::Rowid(name.clone()),
        (TableKind::WithoutRowid, _) => RowAddress::PrimaryKey,
        // Columns can hide all names of the rowid.
        (TableKind::Rowid, None) | (TableKind::Virtual { .. }, _) => RowAddress::Ordinal,
    };
    Outline { source, address, columns: columns.collect() }
}

/// Columns that foreign keys refer to: table and column in lower case.
fn referenced_columns(schema: &SourceSchema) -> BTreeSet<(String, String)> {
    let keys = schema.tables.iter().flat_map(|table| &table.foreign_keys);
    let references = keys.filter_map(|key| constraints::resolve(schema, key).ok());
    references
        .flat_map(|reference| {
            let table = reference.parent.name.to_ascii_lowercase();
            reference.columns.into_iter().map(move |column| (table.clone(), column.to_ascii_lowercase()))
        })
        .collect()
}

/// What each column is to its table, by its name in lower case.
fn roles(source: &SourceTable, referenced: &BTreeSet<(String, String)>) -> BTreeMap<String, Role> {
    let table = source.name.to_ascii_lowercase();
    let mut roles: BTreeMap<String, Role> = BTreeMap::new();
    let mut raise = |name: &str, role: Role| {
        let known = roles.entry(name.to_ascii_lowercase()).or_insert(role);
        *known = role.max(*known);
    };
    for index in &source.indexes {
        let role = if index.unique { Role::Key } else { Role::Indexed };
        for key in &index.columns {
            if let IndexKey::Column(name) = &key.key {
                raise(name, role);
            }
        }
    }
    source.primary_key.iter().for_each(|name| raise(name, Role::Key));
    source.foreign_keys.iter().flat_map(|key| &key.columns).for_each(|name| raise(name, Role::Key));
    referenced.iter().filter(|(of, _)| *of == table).for_each(|(_, name)| raise(name, Role::Key));
    source.rowid_alias.iter().for_each(|name| raise(name, Role::RowidAlias));
    roles
}

impl Outline<'_> {
    /// What the configuration asks for: a type that values may be kept from is the one that the declaration promises.
    fn with_wishes(mut self, vector_extension: bool) -> Self {
        let nothing = ColumnProfile::default();
        let wish = |column: &ColumnOutline<'_>| {
            let decision = column.decision?;
            let named = decision.pg_type.clone();
            named.or_else(|| {
                decision.exceptions.off_type?;
                type_choice::promised(&subject(&self, column, &nothing, vector_extension))
            })
        };
        let wishes: Vec<Option<PgType>> = self.columns.iter().map(wish).collect();
        for (column, wish) in self.columns.iter_mut().zip(wishes) {
            column.wish = wish;
        }
        self
    }

    /// What to read and to look for.
    pub(super) fn scan(&self) -> TableScan {
        let table = quote_ident(&self.source.name);
        let columns = self.columns.iter().map(|column| format!("t.{}", quote_ident(&column.source.name)));
        // A table with as many columns as a result may have leaves no room for the rowid.
        let has_room = self.columns.len() < RESULT_COLUMNS_MOST;
        let rowid = self.address.rowid_name().filter(|_| has_room).map(|name| format!("t.{name}"));
        let list = rowid.iter().cloned().chain(columns).collect::<Vec<_>>().join(", ");
        // An index of a module that can't be read (libSQL's vector index) must not answer for the table.
        let hint = if self.address == RowAddress::Ordinal { "" } else { " NOT INDEXED" };
        let query = format!("SELECT {list} FROM {table} AS t{hint}");
        let ranges = rowid.map(|rowid| Ranges {
            query: format!("{query} WHERE {rowid} >= ?1 ORDER BY {rowid}"),
            bounds: format!(
                "SELECT (SELECT min({rowid}) FROM {table} AS t{hint}), (SELECT max({rowid}) FROM {table} AS t{hint})"
            ),
        });
        let columns = self.columns.iter().map(ColumnOutline::scan).collect();
        TableScan { table: self.source.name.clone(), query, ranges, columns }
    }
}

impl ColumnOutline<'_> {
    fn scan(&self) -> ColumnScan {
        let affinity = self.source.affinity;
        let mut wanted = declared_type::of(&self.source.declared, affinity).wanted(affinity);
        if self.checked_json {
            wanted.text = wanted.text.or(Some(TextShape::Json));
        }
        wanted.whole_texts = self.role == Role::Key;
        let empty_as_null = self.decision.is_some_and(|decision| decision.exceptions.empty_as_null);
        ColumnScan { wanted, candidates: self.candidates(), empty_as_null }
    }

    /// The conversions that could fill the type which the configuration asks for.
    fn candidates(&self) -> Vec<Candidate> {
        let Some(pg_type) = &self.wish else { return Vec::new() };
        let conversions = value_check::candidates(pg_type, self.decision.and_then(|decision| decision.manner));
        conversions.into_iter().map(|conversion| Candidate { pg_type: pg_type.clone(), conversion }).collect()
    }
}

impl<'a> Draft<'a> {
    /// Chooses every type by itself; see `fk_unification` for what columns owe each other.
    pub(super) fn new(outline: Outline<'a>, survey: TableSurvey, vector_extension: bool) -> Self {
        let findings = size_findings(&outline, &survey);
        let (rows, bytes) = (survey.rows, survey.bytes);
        let mut draft = Self { outline, rows, bytes, rejected: 0, columns: Vec::new(), findings, vector_extension };
        let columns = draft.outline.columns.iter().zip(survey.columns);
        draft.columns = columns
            .map(|(column, survey)| {
                let subject = subject(&draft.outline, column, &survey.profile, vector_extension);
                let chosen = offtype_policy::decided(&subject, &column.candidates(), &survey);
                let (mut choice, misfits) =
                    chosen.unwrap_or_else(|| (type_choice::choose(&subject), Misfits::default()));
                offtype_policy::apply(&subject, &draft.outline, column.decision, misfits, &mut choice);
                choice.findings.extend(column_findings(&subject, column, &choice));
                DraftColumn { profile: survey.profile, misfits, choice }
            })
            .collect();
        draft
    }

    /// The position of a planned column by its source name.
    pub(super) fn column_named(&self, name: &str) -> Option<usize> {
        self.outline.columns.iter().position(|column| column.source.name.eq_ignore_ascii_case(name))
    }

    /// Hands a column to a rule that gives it another choice; what was found about its values stays.
    pub(super) fn rechoose(&mut self, at: usize, rule: impl FnOnce(&Subject<'_>) -> Option<Choice>) -> bool {
        let (Some(column), Some(outline)) = (self.columns.get_mut(at), self.outline.columns.get(at)) else {
            return false;
        };
        let subject = subject(&self.outline, outline, &column.profile, self.vector_extension);
        let Some(mut choice) = rule(&subject) else { return false };
        offtype_policy::apply(&subject, &self.outline, outline.decision, column.misfits, &mut choice);
        column.choice = choice;
        true
    }
}

/// Whether a table has the columns that Core Data gives to each.
fn is_core_data(table: &SourceTable) -> bool {
    ["Z_PK", "Z_ENT", "Z_OPT"]
        .iter()
        .all(|name| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
}

pub(super) fn subject<'s>(
    outline: &'s Outline<'_>,
    column: &'s ColumnOutline<'_>,
    profile: &'s ColumnProfile,
    vector_extension: bool,
) -> Subject<'s> {
    Subject {
        table: &outline.source.name,
        column: column.source,
        profile,
        role: column.role,
        address: &outline.address,
        vector_extension,
        bad_text: column.decision.and_then(|decision| decision.bad_text),
        core_data: is_core_data(outline.source),
    }
}

/// Values beyond what a field takes, and what a column could be besides.
fn column_findings(subject: &Subject<'_>, column: &ColumnOutline<'_>, choice: &Choice) -> Vec<Finding> {
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

/// Tables and rows that don't fit PostgreSQL's limits (conversion rule book, section 2).
fn size_findings(outline: &Outline<'_>, survey: &TableSurvey) -> Vec<Finding> {
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

/// A name as a string of the configuration file.
fn toml_text(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The positions of a draft and its column by their source names.
pub(super) fn planned_column(drafts: &[Draft<'_>], table: &str, column: &str) -> Option<Position> {
    let at = drafts.iter().position(|draft| draft.outline.source.name.eq_ignore_ascii_case(table))?;
    Some((at, drafts.get(at)?.column_named(column)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::overrides::Overrides,
        sqlite::{catalog, profile::ColumnSurvey},
        stages::plan::override_resolution::resolve,
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
        let draft = Draft::new(outlines(&schema, &decisions, false).remove(0), survey, false);
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
