//! Chooses the PostgreSQL type of a column from its declared type and exact profile, as a [`TypeChoice`]
//! (docs/conversion-rules.md, section 1.4).
//!
//! Decisions: a type is chosen only if every value maps to it exactly; widening beats changing a value and is loud;
//! where the PostgreSQL value no longer shows the storage class, the class goes to the off-type table. Nothing here
//! reads a value: the profile is the evidence.

pub mod declared_type;

pub mod value_check;

mod invalid_text;

mod type_rules;

mod explanations;

pub mod fk_types;

pub(crate) use type_rules::name_means_time;

use crate::model::{
    Conversion, Finding, FindingCode, PgType, Severity,
    cell::StorageClass,
    column_profile::ColumnProfile,
    conversion::ClassLoss,
    conversion_plan::{BlobText, Exceptions, OFFTYPE_TABLE, RowAddress},
    overrides::BadText,
    source_schema::SourceColumn,
};

/// What a column is to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnRole {
    /// None of the others.
    Plain,
    /// Part of an index that isn't unique.
    Indexed,
    /// Part of a primary key, a unique index or a foreign key, on either side.
    Key,
    /// The rowid itself.
    RowidAlias,
}

/// A column to choose a type for.
#[derive(Debug, Clone, Copy)]
pub struct ColumnInput<'a> {
    /// The source table's name.
    pub table: &'a str,
    /// What is declared.
    pub column: &'a SourceColumn,
    /// What the values are.
    pub profile: &'a ColumnProfile,
    /// What it is to its table.
    pub role: ColumnRole,
    /// How rows are addressed.
    pub address: &'a RowAddress,
    /// Whether the server offers pgvector.
    pub vector_extension: bool,
    /// What the configuration says about texts that PostgreSQL can't hold.
    pub bad_text: Option<BadText>,
    /// Whether the table is one of Apple's Core Data, whose times count from 2001.
    pub core_data: bool,
}

/// A decision about a column.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeChoice {
    /// The type.
    pub pg_type: PgType,
    /// How cells become values.
    pub conversion: Conversion,
    /// The class that a value stands for when the off-type table doesn't say otherwise.
    pub main_class: StorageClass,
    /// Whether cells of other classes go to the off-type table.
    pub records_off_type: bool,
    /// What becomes of cells that the conversion doesn't take.
    pub exceptions: Exceptions,
    /// The rule, as a sentence.
    pub rule: String,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// Chooses by the type rules.
#[must_use]
pub fn choose(subject: &ColumnInput<'_>) -> TypeChoice {
    if subject.role == ColumnRole::RowidAlias {
        return subject.choice(
            PgType::BigInt,
            Conversion::Integer,
            "the rowid itself: 64 bits, numbered by PostgreSQL",
        );
    }
    let family = declared_type::of(&subject.column.declared, subject.column.affinity);
    if subject.profile.values() == 0 {
        type_rules::empty(subject, family)
    } else {
        type_rules::natural(subject, family).unwrap_or_else(|| type_rules::general(subject, family))
    }
}

impl ColumnInput<'_> {
    /// A choice whose class and use of the off-type table are worked out.
    pub(crate) fn choice(&self, pg_type: PgType, conversion: Conversion, rule: impl Into<String>) -> TypeChoice {
        let lost = class_is_lost(conversion, self.profile, self.column.affinity.has_no_numbers());
        let replaced = matches!(conversion, Conversion::Text { .. }) && self.profile.texts_not_storable() > 0;
        let records_off_type = (lost || replaced) && *self.address != RowAddress::Ordinal;
        let main_class = main_class(conversion, self.profile);
        let exceptions = Exceptions::default();
        let mut choice = TypeChoice {
            pg_type,
            conversion,
            main_class,
            records_off_type,
            exceptions,
            rule: rule.into(),
            findings: Vec::new(),
        };
        if lost {
            choice.findings.push(self.class_merged(&choice));
        }
        choice
    }

    fn class_merged(&self, choice: &TypeChoice) -> Finding {
        let others = self.profile.values() - self.profile.count(choice.main_class);
        let merged = format!(
            "{} of another storage class than {} in a column of type {}",
            counted(others.max(self.profile.reals_negative_zero), "value"),
            choice.main_class,
            choice.pg_type
        );
        if choice.records_off_type {
            let message = format!("{merged}; class and raw bytes of each are kept in the table {OFFTYPE_TABLE}");
            self.finding(FindingCode::ClassMerged, Severity::Warning, message).counting(others)
        } else {
            let message = format!("{merged}; the rows have no key under which their class could be kept");
            self.finding(FindingCode::ClassMerged, Severity::NeedsDecision, message)
                .counting(others)
                .choice(format!("--accept class-merged@{}.{}", self.table, self.column.name))
        }
    }

    /// A finding at this column.
    pub(crate) fn finding(&self, code: FindingCode, severity: Severity, message: impl Into<String>) -> Finding {
        Finding::new(code, severity, message).at_table(self.table).at_column(&self.column.name)
    }

    /// `rowid 7`, or `row 7` where rows are only counted.
    pub(crate) fn place_of(&self, at: i64) -> String {
        match self.address {
            RowAddress::Rowid(_) => format!("rowid {at}"),
            RowAddress::PrimaryKey | RowAddress::Ordinal | RowAddress::Absent => format!("row {at}"),
        }
    }

    /// `297 integer, 7 text (first at rowid 12)`, the rarest class last.
    pub(crate) fn class_counts(&self) -> String {
        let mut classes = self.profile.classes();
        classes.sort_by_key(|class| std::cmp::Reverse(self.profile.count(*class)));
        let last = classes.len().saturating_sub(1);
        let words = classes.iter().enumerate().map(|(position, class)| {
            let first = self.profile.first(*class).filter(|_| position == last && last > 0);
            let first = first.map(|at| format!(" (first at {})", self.place_of(at))).unwrap_or_default();
            format!("{} {class}{first}", self.profile.count(*class))
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// A line for the configuration that gives this column another type.
    pub(crate) fn typed(&self, inside: &str) -> String {
        column_setting(self.table, &self.column.name, inside)
    }
}

/// `columns."t.c" = { type = "bytea" }`: a line of the configuration file, above its first section.
#[must_use]
pub fn column_setting(table: &str, column: &str, inside: &str) -> String {
    format!("columns.{} = {{ {inside} }}", toml_text(&format!("{table}.{column}")))
}

/// `tables."t" = { name = "u" }`: the same for a table.
#[must_use]
pub fn table_setting(table: &str, inside: &str) -> String {
    format!("tables.{} = {{ {inside} }}", toml_text(table))
}

/// A name as a string of the configuration file.
#[must_use]
pub fn toml_text(name: &str) -> String {
    let text = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"))
}

/// `1 value`, `2 values`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `1 value is`, `2 values are`.
pub(crate) fn is_or_are(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "is" } else { "are" })
}

/// Whether the PostgreSQL value no longer shows the storage class of the cell that it came from (or a REAL's minus
/// sign of zero).
///
/// `numbers_are_odd` is true where the affinity leaves no numbers, so that texts were not compared with numbers.
#[must_use]
pub fn class_is_lost(conversion: Conversion, profile: &ColumnProfile, numbers_are_odd: bool) -> bool {
    let numbers = profile.integers + profile.reals;
    // `Inf` is no number to SQLite's affinity, so that both the text and the infinity may stand in the same column.
    let alike = numbers_are_odd || profile.texts_like_numbers > 0 || profile.reals_infinite > 0;
    // An INTEGER has no fraction, so a whole REAL beside it could be either.
    let whole_reals = profile.integers > 0 && profile.reals_integral > 0;
    let numbers_and_alike_texts = numbers > 0 && profile.texts > 0 && alike;
    match conversion.descriptor().class_loss {
        ClassLoss::Never => false,
        ClassLoss::SeveralClasses => profile.classes().len() > 1,
        ClassLoss::WholeReals => whole_reals,
        ClassLoss::NumericReals => whole_reals || profile.reals_negative_zero > 0,
        ClassLoss::Texts => (profile.blobs > 0 && numbers + profile.texts > 0) || numbers_and_alike_texts,
        ClassLoss::JsonNumbers => whole_reals || numbers_and_alike_texts,
    }
}

/// The most frequent class, or for an empty column the class that the conversion reads.
fn main_class(conversion: Conversion, profile: &ColumnProfile) -> StorageClass {
    let most = profile.classes().into_iter().rev().max_by_key(|class| profile.count(*class));
    most.unwrap_or(conversion.descriptor().class)
}

/// The same column with another type, if the profile alone proves that every value fits. Used where a foreign key
/// makes columns agree.
#[must_use]
pub fn retyped(subject: &ColumnInput<'_>, pg_type: &PgType, rule: String) -> Option<TypeChoice> {
    let profile = subject.profile;
    if profile.values() == 0 {
        return Some(subject.choice(pg_type.clone(), value_check::candidates(pg_type, None).first().copied()?, rule));
    }
    let numbers_only = profile.texts == 0 && profile.blobs == 0;
    match pg_type {
        PgType::BigInt if numbers_only && profile.reals == 0 => {
            Some(subject.choice(PgType::BigInt, Conversion::Integer, rule))
        }
        PgType::BigInt
            if profile.texts > 0 && profile.texts_whole == profile.texts && profile.reals + profile.blobs == 0 =>
        {
            Some(subject.choice(PgType::BigInt, Conversion::IntegerText, rule))
        }
        PgType::Numeric(None) if numbers_only => Some(subject.choice(PgType::Numeric(None), Conversion::Numeric, rule)),
        PgType::Text if profile.texts_not_storable() == 0 => {
            Some(subject.choice(PgType::Text, text_conversion(subject.role), rule))
        }
        PgType::Bytea => Some(subject.choice(PgType::Bytea, Conversion::Bytea, rule)),
        _ => None,
    }
}

/// The type that a declared type promises, whatever the values are; none where it promises nothing.
#[must_use]
pub fn promised(subject: &ColumnInput<'_>) -> Option<PgType> {
    let family = declared_type::of(&subject.column.declared, subject.column.affinity);
    (family != declared_type::TypeFamily::Any).then(|| type_rules::empty(subject, family).pg_type)
}

/// What to say of texts that PostgreSQL can't hold in a column whose type the configuration chose: whether they are
/// replaced, or nothing is loaded.
#[must_use]
pub fn bad_text_in_chosen(subject: &ColumnInput<'_>) -> Finding {
    let may_replace = subject.role < ColumnRole::Key && *subject.address != RowAddress::Ordinal;
    match subject.bad_text {
        Some(BadText::Replace) if may_replace => invalid_text::replaced(subject),
        _ if may_replace => invalid_text::not_storable(subject, None).choice(subject.typed("bad_text = \"replace\"")),
        _ => invalid_text::not_storable(subject, Some("it identifies rows, or they have no key")),
    }
}

/// How a text column writes blobs. In a key two blobs must not become equal to a text by being decoded.
pub(crate) const fn text_conversion(role: ColumnRole) -> Conversion {
    let blobs = match role {
        ColumnRole::Key | ColumnRole::RowidAlias => BlobText::Hex,
        ColumnRole::Plain | ColumnRole::Indexed => BlobText::Utf8OrHex,
    };
    Conversion::Text { blobs }
}

#[cfg(test)]
mod tests;
