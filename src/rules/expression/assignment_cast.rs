//! Translates a value that a statement puts into a column, with the column's affinity applied.

use super::{
    Untranslatable, column_default,
    literal::stored,
    refuse,
    typed_expr::{ExprType, TypedExpr},
};
use crate::model::{ColumnPlan, Conversion, source_schema::Affinity};

/// The operand as a value of the column's type.
pub(in crate::rules) fn assigned(
    operand: &TypedExpr,
    column: &ColumnPlan,
    affinity: Affinity,
) -> Result<String, Untranslatable> {
    operand.uncollated()?;
    if let Some(value) = &operand.constant {
        let value = column_default::literal(stored(value.clone(), affinity), column)?;
        return Ok(value.unwrap_or_else(|| format!("NULL::{}", column.pg_type)));
    }
    if operand.origin.as_ref().is_some_and(|(pg_type, how)| *pg_type == column.pg_type && *how == column.conversion) {
        return Ok(operand.sql().to_owned());
    }
    let numeric = matches!(affinity, Affinity::Integer | Affinity::Real | Affinity::Numeric);
    match (column.conversion, operand.kind) {
        (_, ExprType::Null) => Ok(format!("NULL::{}", column.pg_type)),
        (_, ExprType::Text) if operand.current_time.is_some() => column_default::computed(operand, column, affinity),
        (Conversion::Epoch { .. }, ExprType::Int(_)) => column_default::computed(operand, column, affinity),
        (Conversion::IntegerBoolean, ExprType::Bool)
        | (Conversion::Bytea, ExprType::Blob)
        | (Conversion::Date, ExprType::Date)
        | (Conversion::Timestamp, ExprType::Stamp)
        | (Conversion::UuidText, ExprType::Uuid)
        | (Conversion::Numeric, ExprType::Numeric(_)) => Ok(operand.sql().to_owned()),
        (Conversion::IntegerBoolean, ExprType::Int(range)) if range.least >= 0 && range.most <= 1 => {
            Ok(format!("{} <> 0", operand.arg()))
        }
        (Conversion::Integer | Conversion::Numeric, ExprType::Int(_) | ExprType::Bool) => operand.integer(),
        (Conversion::Double, ExprType::Real(_) | ExprType::Double(_) | ExprType::Int(_) | ExprType::Bool) => {
            operand.double()
        }
        // The shortest decimal that reads back as the same double; the cast alone keeps 15 digits.
        (Conversion::Numeric, ExprType::Real(_) | ExprType::Double(_)) => {
            Ok(format!("{}::text::numeric", operand.arg()))
        }
        (Conversion::Text { .. }, ExprType::Text) if !numeric => Ok(operand.sql().to_owned()),
        (Conversion::Text { .. }, ExprType::Int(_) | ExprType::Bool) if affinity == Affinity::Text => operand.text(),
        (Conversion::Text { .. }, ExprType::Date) if affinity == Affinity::Text => {
            Ok(format!("to_char({}, 'YYYY-MM-DD')", operand.sql()))
        }
        _ => Err(refuse(format!("a value is put into a column of type {}, which it doesn't fit", column.pg_type))),
    }
}
