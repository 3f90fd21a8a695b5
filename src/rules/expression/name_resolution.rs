//! Resolves the names in an expression: one table's columns with their static types, or nothing (a DEFAULT).

use super::{
    Untranslatable,
    parse::Quoting,
    query_context::QueryContext,
    refuse,
    typed_expr::{Collation, DIGITS_UNKNOWN, ExprType, IntegerRange, NumberBounds, TypedExpr},
};
use crate::{
    model::{
        ColumnPlan, Conversion, PgType, TablePlan,
        cell::StorageClass,
        column_profile::ColumnProfile,
        identifier::quote_ident,
        source_schema::{Affinity, SourceColumn, SourceTable},
    },
    rules::affinity,
};

/// The surroundings of an expression.
#[derive(Debug, Clone, Copy)]
pub struct NameScope<'a> {
    table: Option<&'a TablePlan>,
    source: Option<&'a SourceTable>,
    query: Option<&'a dyn QueryContext>,
    utf8: bool,
    /// Whether a generated column stands for its expression.
    inlines: bool,
}

impl<'a> NameScope<'a> {
    /// A table's columns, with the affinities and collations that the source declares.
    #[must_use]
    pub fn new(table: &'a TablePlan, source: &'a SourceTable, encoding: &str) -> Self {
        let utf8 = encoding.eq_ignore_ascii_case("UTF-8");
        Self { table: Some(table), source: Some(source), query: None, utf8, inlines: false }
    }

    /// A table's columns without the source's declarations: affinities from the declared types, no collations.
    pub(in crate::rules) fn of_plan(table: &'a TablePlan) -> Self {
        Self { table: Some(table), source: None, query: None, utf8: true, inlines: false }
    }

    /// No columns: identifiers are strings, and functions of the current time are allowed.
    pub(in crate::rules) fn of_default() -> Self {
        Self { table: None, source: None, query: None, utf8: true, inlines: false }
    }

    /// The sources of a query.
    pub(in crate::rules) fn of_query(query: &'a dyn QueryContext) -> Self {
        Self { table: None, source: None, query: Some(query), utf8: query.utf8(), inlines: false }
    }

    /// The query that the expression stands in.
    pub(in crate::rules) fn query(&self) -> Option<&'a dyn QueryContext> {
        self.query
    }

    /// The same with generated columns as their expressions.
    pub(in crate::rules) fn inlining(self) -> Self {
        Self { inlines: true, ..self }
    }

    /// Whether this is the expression of a DEFAULT.
    pub(in crate::rules) fn is_default(&self) -> bool {
        self.table.is_none() && self.query.is_none()
    }

    /// Whether the value may depend on the current time: not in an index or a check.
    pub(in crate::rules) fn is_at_present(&self) -> bool {
        self.table.is_none()
    }

    /// Whether `<` on text compares bytes of UTF-8 (a UTF-16 database compares bytes of UTF-16).
    pub(in crate::rules) fn utf8(&self) -> bool {
        self.utf8
    }

    /// What an identifier stands for: a column, TRUE, FALSE, the rowid, or a string.
    pub(in crate::rules) fn identifier(&self, name: &str, quoting: Quoting) -> Result<TypedExpr, Untranslatable> {
        if let Some(query) = self.query
            && let Some(found) = query.identifier(name)?
        {
            return Ok(found);
        }
        let Some(table) = self.table else {
            if self.query.is_some() && matches!(quoting, Quoting::Bare | Quoting::Other) && !is_truth(name) {
                return Err(refuse("it names a column that none of its tables has"));
            }
            return match (quoting, name.to_ascii_uppercase().as_str()) {
                (Quoting::Bare, "TRUE") => Ok(TypedExpr::constant(super::literal::Value::Integer(1))),
                (Quoting::Bare, "FALSE") => Ok(TypedExpr::constant(super::literal::Value::Integer(0))),
                _ => Ok(TypedExpr::constant(super::literal::Value::Text(name.to_owned()))),
            };
        };
        if let Some(column) = find(table, name) {
            return Ok(self.column(column));
        }
        match (quoting, name.to_ascii_uppercase().as_str()) {
            (Quoting::Bare, "TRUE") => Ok(TypedExpr::constant(super::literal::Value::Integer(1))),
            (Quoting::Bare, "FALSE") => Ok(TypedExpr::constant(super::literal::Value::Integer(0))),
            (_, "ROWID" | "_ROWID_" | "OID") => {
                let alias = self.source.and_then(|source| source.rowid_alias.as_deref());
                let column = alias.and_then(|alias| find(table, alias));
                column.map(|column| self.column(column)).ok_or_else(|| refuse("it uses the rowid, which is no column"))
            }
            (Quoting::Double | Quoting::Single, _) => {
                Ok(TypedExpr::constant(super::literal::Value::Text(name.to_owned())))
            }
            (Quoting::Bare | Quoting::Other, _) => Err(refuse("it names a column that the table doesn't have")),
        }
    }

    /// `table.column`.
    pub(in crate::rules) fn qualified(&self, qualifier: &str, name: &str) -> Result<TypedExpr, Untranslatable> {
        if let Some(query) = self.query {
            return query.qualified(qualifier, name);
        }
        match self.table {
            Some(table) if table.source.eq_ignore_ascii_case(qualifier) => self.identifier(name, Quoting::Other),
            Some(_) | None => Err(refuse("it names another table")),
        }
    }

    fn column(&self, column: &ColumnPlan) -> TypedExpr {
        let declared = self
            .source
            .and_then(|source| source.columns.iter().find(|found| found.name.eq_ignore_ascii_case(&column.source)));
        let mut operand = column_operand(column, declared);
        if let Some(expression) = column.generated.as_ref().filter(|_| self.inlines) {
            operand.sql = format!("({expression})::{}", column.pg_type);
        }
        operand
    }
}

fn find<'a>(table: &'a TablePlan, name: &str) -> Option<&'a ColumnPlan> {
    table.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name))
}

fn is_truth(name: &str) -> bool {
    name.eq_ignore_ascii_case("TRUE") || name.eq_ignore_ascii_case("FALSE")
}

/// A column by its name alone.
pub(in crate::rules) fn column_operand(column: &ColumnPlan, declared: Option<&SourceColumn>) -> TypedExpr {
    let affinity = declared.map_or_else(|| affinity::of(&column.declared, false), |found| found.affinity);
    let kind = kind_of(column, affinity);
    let mut operand = TypedExpr::atom(quote_ident(&column.name), kind);
    operand.affinity = Some(affinity);
    let collation = declared.and_then(|found| found.collation.as_deref()).map_or(Collation::Binary, Collation::named);
    operand.collation = Some((collation, false));
    operand.narrow = column.pg_type != PgType::BigInt;
    operand.origin = Some((column.pg_type.clone(), column.conversion));
    if matches!(kind, ExprType::Opaque(_) | ExprType::Json)
        && only(&column.evidence, &[column.main_class])
        && !column.records_off_type
    {
        operand.class = match column.main_class {
            StorageClass::Integer => Some("integer"),
            StorageClass::Text => Some("text"),
            StorageClass::Blob => Some("blob"),
            // A REAL in a column of another type may lose its fraction and become INTEGER.
            StorageClass::Real | StorageClass::Null => None,
        };
    }
    operand
}

/// Whether no value is of another class than these.
fn only(evidence: &ColumnProfile, classes: &[StorageClass]) -> bool {
    evidence.classes().iter().all(|class| classes.contains(class))
}

fn kind_of(column: &ColumnPlan, affinity: Affinity) -> ExprType {
    const SPELLED: &str = "a value that PostgreSQL compares by meaning and SQLite by its spelling";
    let evidence = &column.evidence;
    match column.conversion {
        Conversion::Integer => ExprType::Int(range_of(evidence)),
        Conversion::IntegerBoolean => ExprType::Bool,
        Conversion::Double if affinity == Affinity::Real => ExprType::Real(span_of(evidence)),
        Conversion::Double => ExprType::Double(span_of(evidence)),
        // Typeless columns keep 2^53+1 and 2^53 as a REAL apart, whose shortest decimals may stand in another order.
        Conversion::Numeric if affinity == Affinity::Blob && evidence.integers_beyond_double > 0 => {
            ExprType::Opaque("a column of very large integers and numbers with fractions")
        }
        Conversion::Numeric => ExprType::Numeric(span_of(evidence)),
        Conversion::Text { .. } => {
            let clean = evidence.texts_with_nul == 0 && evidence.texts_not_utf8 == 0;
            let numeric = matches!(affinity, Affinity::Integer | Affinity::Numeric);
            if only(evidence, &[StorageClass::Text]) && clean && !column.records_off_type {
                ExprType::Text
            } else if only(evidence, &[StorageClass::Integer, StorageClass::Text]) && clean && numeric {
                // Such a column keeps no text that looks like a number.
                ExprType::Written
            } else {
                ExprType::Opaque("a column whose values are not all the same text as in SQLite")
            }
        }
        Conversion::Bytea if only(evidence, &[StorageClass::Blob]) && !column.records_off_type => ExprType::Blob,
        Conversion::Bytea => ExprType::Opaque("a column of blobs and other values"),
        Conversion::Date if column.pg_type == PgType::Date => ExprType::Date,
        Conversion::Epoch { unit } if column.pg_type == PgType::TimestampTz => ExprType::Epoch(unit),
        Conversion::Json => ExprType::Json,
        Conversion::Timestamp if column.pg_type == PgType::Timestamp && evidence.texts_respelled == 0 => {
            ExprType::Stamp
        }
        Conversion::UuidText if column.pg_type == PgType::Uuid && evidence.texts_respelled == 0 => ExprType::Uuid,
        Conversion::Date
        | Conversion::Epoch { .. }
        | Conversion::WordBoolean
        | Conversion::Time
        | Conversion::Timestamp
        | Conversion::TimestampTz
        | Conversion::UuidText
        | Conversion::UuidBlob
        | Conversion::IntegerText
        | Conversion::AnyBoolean
        | Conversion::RailsTime
        | Conversion::UuidDotnet
        | Conversion::Computed { .. }
        | Conversion::AnyTimestamp { .. }
        | Conversion::SqliteJsonb
        | Conversion::Vector { .. }
        | Conversion::ExistingType { .. } => ExprType::Opaque(SPELLED),
        Conversion::Absent => ExprType::Opaque("a column that the source lacks"),
    }
}

fn span_of(evidence: &ColumnProfile) -> NumberBounds {
    let integers = range_of(evidence);
    let (whole, fraction) = match evidence.decimal_digits {
        (0, 0) if evidence.reals > 0 => (DIGITS_UNKNOWN, DIGITS_UNKNOWN),
        counted => counted,
    };
    NumberBounds { whole: whole.max(integers.digits()), fraction, infinite: evidence.reals_infinite > 0, integers }
}

fn range_of(evidence: &ColumnProfile) -> IntegerRange {
    match evidence.integer_range {
        Some((least, most)) => IntegerRange { least: least.into(), most: most.into() },
        None => IntegerRange::point(0),
    }
}
