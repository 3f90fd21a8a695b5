//! Translates the result columns of a SELECT: named values, each in one PostgreSQL type that stands for SQLite's value.

use crate::{
    model::{Conversion, PgType, conversion_plan::BlobText},
    rules::expression::{Collation, ExprType, TypedExpr, Untranslatable, refuse},
};

/// The collation of every text that a query gives, so that texts of any two queries can be compared.
const DEFAULT_COLLATION: &str = "COLLATE pg_catalog.\"default\"";

/// One result column.
#[derive(Debug, Clone)]
pub(in crate::rules) struct OutputColumn {
    /// SQLite's name.
    pub name: String,
    /// The value.
    pub operand: TypedExpr,
}

/// A value as a result column has it: in a type of its own, whatever the surroundings make of it.
pub(super) fn emitted(operand: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    operand.uncollated()?;
    if operand.origin.is_some() {
        return Ok(operand.clone());
    }
    let (sql, kind, pg_type, conversion) = match operand.kind {
        ExprType::Null => (format!("NULL::text {DEFAULT_COLLATION}"), ExprType::Null, PgType::Text, text()),
        ExprType::Bool => (operand.arg(), operand.kind, PgType::Boolean, Conversion::IntegerBoolean),
        ExprType::Int(_) => (format!("{}::bigint", operand.arg()), operand.kind, PgType::BigInt, Conversion::Integer),
        ExprType::Real(_) | ExprType::Double(_) => (operand.arg(), operand.kind, PgType::Double, Conversion::Double),
        ExprType::Numeric(_) => {
            (format!("trim_scale({})", operand.sql), operand.kind, PgType::Numeric(None), Conversion::Numeric)
        }
        ExprType::Text | ExprType::Written => {
            (format!("({}::text {DEFAULT_COLLATION})", operand.arg()), operand.kind, PgType::Text, text())
        }
        ExprType::Blob => (operand.arg(), operand.kind, PgType::Bytea, Conversion::Bytea),
        ExprType::Date => (operand.arg(), operand.kind, PgType::Date, Conversion::Date),
        ExprType::Stamp => (operand.arg(), operand.kind, PgType::Timestamp, Conversion::Timestamp),
        ExprType::Uuid => (operand.arg(), operand.kind, PgType::Uuid, Conversion::UuidText),
        ExprType::Epoch(unit) => (operand.arg(), operand.kind, PgType::TimestampTz, Conversion::Epoch { unit }),
        ExprType::ClassOf(class) => {
            let sql = format!("CASE WHEN {} IS NULL THEN 'null' ELSE '{class}' END", operand.arg());
            (format!("({sql})::text {DEFAULT_COLLATION}"), ExprType::Text, PgType::Text, text())
        }
        ExprType::Json | ExprType::Opaque(_) => return Err(operand.refusal("is calculated with")),
    };
    let mut made = TypedExpr::compound(sql, kind);
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

/// Whether PostgreSQL compares and orders all values of this kind as SQLite does.
const fn compares_alike(kind: ExprType) -> bool {
    use ExprType::{Blob, Bool, Date, Double, Epoch, Int, Null, Numeric, Real, Stamp, Uuid};
    matches!(kind, Null | Bool | Int(_) | Real(_) | Double(_) | Numeric(_) | Blob | Date | Stamp | Uuid | Epoch(_))
}

/// Whether PostgreSQL takes the same values for equal: in DISTINCT, GROUP BY and set operations.
pub(super) fn same_when_equal(operand: &TypedExpr) -> Result<(), Untranslatable> {
    let binary = operand.collation.is_none_or(|(collation, _)| collation == Collation::Binary);
    match operand.kind {
        ExprType::Text | ExprType::Written if binary => Ok(()),
        ExprType::Text | ExprType::Written => Err(refuse("texts are grouped under a collation other than BINARY")),
        ExprType::Json | ExprType::ClassOf(_) | ExprType::Opaque(_) => {
            Err(operand.refusal("is grouped or made distinct"))
        }
        _ => Ok(()),
    }
}

/// The value as ORDER BY compares it. `exact` refuses what has another order in PostgreSQL; without it, columns that
/// PostgreSQL orders by meaning are taken as they are, because the order decides nothing but itself.
pub(super) fn sort_key(operand: &TypedExpr, utf8: bool, exact: bool) -> Result<String, Untranslatable> {
    match operand.kind {
        ExprType::Text => {
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
        ExprType::Opaque(_) if !exact && by_meaning(operand) => Ok(operand.arg()),
        ExprType::Written if !exact => Ok(format!("{} COLLATE \"C\"", operand.arg())),
        kind if compares_alike(kind) => Ok(operand.arg()),
        _ => Err(operand.refusal("is ordered by")),
    }
}

/// Types with an order of their own.
fn by_meaning(operand: &TypedExpr) -> bool {
    let ordered = |pg_type: &PgType| {
        matches!(
            pg_type,
            PgType::Timestamp | PgType::TimestampTz | PgType::Time | PgType::Date | PgType::Uuid | PgType::Boolean
        )
    };
    operand.origin.as_ref().is_some_and(|(pg_type, _)| ordered(pg_type))
}
