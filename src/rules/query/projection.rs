//! What a SELECT gives: named values, each in one PostgreSQL type that stands for SQLite's value.

use crate::{
    model::{Conversion, PgType, conversion_plan::BlobText},
    rules::expression::{Collation, Kind, Operand, Untranslatable, refuse},
};

/// The collation of every text that a query gives, so that texts of any two queries can be compared.
const DEFAULT_COLLATION: &str = "COLLATE pg_catalog.\"default\"";

/// One result column.
#[derive(Debug, Clone)]
pub(in crate::rules) struct Output {
    /// SQLite's name.
    pub name: String,
    /// The value.
    pub operand: Operand,
}

/// A value as a result column has it: in a type of its own, whatever the surroundings make of it.
pub(super) fn emitted(operand: &Operand) -> Result<Operand, Untranslatable> {
    operand.uncollated()?;
    if operand.origin.is_some() {
        return Ok(operand.clone());
    }
    let (sql, kind, pg_type, conversion) = match operand.kind {
        Kind::Null => (format!("NULL::text {DEFAULT_COLLATION}"), Kind::Null, PgType::Text, text()),
        Kind::Bool => (operand.arg(), operand.kind, PgType::Boolean, Conversion::IntegerBoolean),
        Kind::Int(_) => (format!("{}::bigint", operand.arg()), operand.kind, PgType::BigInt, Conversion::Integer),
        Kind::Real(_) | Kind::Double(_) => (operand.arg(), operand.kind, PgType::Double, Conversion::Double),
        Kind::Numeric(_) => {
            (format!("trim_scale({})", operand.sql), operand.kind, PgType::Numeric(None), Conversion::Numeric)
        }
        Kind::Text | Kind::Written => {
            (format!("({}::text {DEFAULT_COLLATION})", operand.arg()), operand.kind, PgType::Text, text())
        }
        Kind::Blob => (operand.arg(), operand.kind, PgType::Bytea, Conversion::Bytea),
        Kind::Date => (operand.arg(), operand.kind, PgType::Date, Conversion::Date),
        Kind::Stamp => (operand.arg(), operand.kind, PgType::Timestamp, Conversion::Timestamp),
        Kind::Uuid => (operand.arg(), operand.kind, PgType::Uuid, Conversion::UuidText),
        Kind::Epoch(unit) => (operand.arg(), operand.kind, PgType::TimestampTz, Conversion::Epoch { unit }),
        Kind::ClassOf(class) => {
            let sql = format!("CASE WHEN {} IS NULL THEN 'null' ELSE '{class}' END", operand.arg());
            (format!("({sql})::text {DEFAULT_COLLATION}"), Kind::Text, PgType::Text, text())
        }
        Kind::Json | Kind::Opaque(_) => return Err(operand.refusal("is calculated with")),
    };
    let mut made = Operand::compound(sql, kind);
    made.origin = Some((pg_type, conversion));
    made.affinity = operand.affinity;
    made.collation = operand.collation;
    made.vague = operand.vague;
    made.class = operand.class;
    Ok(made)
}

const fn text() -> Conversion {
    Conversion::Text { blobs: BlobText::Hex }
}

/// Whether PostgreSQL takes the same values for equal: in DISTINCT, GROUP BY and set operations.
pub(super) fn same_when_equal(operand: &Operand) -> Result<(), Untranslatable> {
    let binary = operand.collation.is_none_or(|(collation, _)| collation == Collation::Binary);
    match operand.kind {
        Kind::Text | Kind::Written if binary => Ok(()),
        Kind::Text | Kind::Written => Err(refuse("texts are grouped under a collation other than BINARY")),
        Kind::Null
        | Kind::Bool
        | Kind::Int(_)
        | Kind::Real(_)
        | Kind::Double(_)
        | Kind::Numeric(_)
        | Kind::Blob
        | Kind::Date
        | Kind::Stamp
        | Kind::Uuid
        | Kind::Epoch(_) => Ok(()),
        Kind::Json | Kind::ClassOf(_) | Kind::Opaque(_) => Err(operand.refusal("is grouped or made distinct")),
    }
}

/// The value as ORDER BY compares it. `exact` refuses what has another order in PostgreSQL; without it, columns that
/// PostgreSQL orders by meaning are taken as they are, because the order decides nothing but itself.
pub(super) fn sort_key(operand: &Operand, utf8: bool, exact: bool) -> Result<String, Untranslatable> {
    match operand.kind {
        Kind::Text => {
            if !utf8 && exact {
                return Err(refuse("the database is UTF-16, in which text has another order"));
            }
            match operand.collation.map(|(collation, _)| collation) {
                None | Some(Collation::Binary) => Ok(format!("{} COLLATE \"C\"", operand.arg())),
                Some(Collation::NoCase) => Ok(format!("lower({} COLLATE \"C\")", operand.arg())),
                Some(Collation::RTrim) => Ok(format!("rtrim({}, ' ') COLLATE \"C\"", operand.arg())),
                Some(Collation::Unknown) => Err(refuse("it orders under a collation of the application's own")),
            }
        }
        Kind::Null
        | Kind::Bool
        | Kind::Int(_)
        | Kind::Real(_)
        | Kind::Double(_)
        | Kind::Numeric(_)
        | Kind::Blob
        | Kind::Date
        | Kind::Stamp
        | Kind::Uuid
        | Kind::Epoch(_) => Ok(operand.arg()),
        Kind::Opaque(_) if !exact && by_meaning(operand) => Ok(operand.arg()),
        Kind::Written if !exact => Ok(format!("{} COLLATE \"C\"", operand.arg())),
        Kind::Written | Kind::Json | Kind::ClassOf(_) | Kind::Opaque(_) => Err(operand.refusal("is ordered by")),
    }
}

/// Types with an order of their own.
fn by_meaning(operand: &Operand) -> bool {
    let ordered = |pg_type: &PgType| {
        matches!(
            pg_type,
            PgType::Timestamp | PgType::TimestampTz | PgType::Time | PgType::Date | PgType::Uuid | PgType::Boolean
        )
    };
    operand.origin.as_ref().is_some_and(|(pg_type, _)| ordered(pg_type))
}
