//! Translates GENERATED ALWAYS AS: the expression as a value of the column's PostgreSQL type, with SQLite's affinity
//! applied (docs/conversion-rules.md, section 6.1).

use super::{
    Untranslatable,
    name_resolution::NameScope,
    parse, refuse, translate,
    typed_expr::{ExprType, TypedExpr},
};
use crate::model::{ColumnPlan, Conversion, PgType, source_schema::Affinity};

impl NameScope<'_> {
    /// The generating expression of a column that holds what SQLite stores under this affinity. Generated columns that
    /// it names are put in as their own expressions, because PostgreSQL's generated columns can't use each other.
    ///
    /// # Errors
    /// The reason why there is no exact equivalent.
    pub fn generated(&self, sql: &str, column: &ColumnPlan, affinity: Affinity) -> Result<String, Untranslatable> {
        parse::with_expression(sql, |expression| {
            let operand = translate::translate(&self.inlining(), expression)?;
            operand.uncollated()?;
            if operand.current_time.is_some() {
                return Err(refuse("it depends on the current time or on PostgreSQL's forms of dates"));
            }
            stored(&operand, column, affinity)
        })
    }
}

/// The operand as the column stores it.
fn stored(operand: &TypedExpr, column: &ColumnPlan, affinity: Affinity) -> Result<String, Untranslatable> {
    let unfit = || operand.refusal(&format!("is stored in a column of type {}", column.pg_type));
    let number = matches!(
        operand.kind,
        ExprType::Int(_) | ExprType::Bool | ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_)
    );
    match (column.conversion, operand.kind) {
        (_, ExprType::Null) => Ok(format!("NULL::{}", column.pg_type)),
        (Conversion::IntegerBoolean, ExprType::Bool) => Ok(operand.sql().to_owned()),
        (Conversion::IntegerBoolean, ExprType::Int(_)) => Ok(format!("{} <> 0", operand.arg())),
        (Conversion::Integer, ExprType::Int(_) | ExprType::Bool) => operand.integer(),
        // A number without fraction becomes an INTEGER under these affinities; the values say that all of them do.
        (Conversion::Integer, ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_))
            if matches!(affinity, Affinity::Integer | Affinity::Numeric) =>
        {
            Ok(format!("{}::{}", operand.arg(), column.pg_type))
        }
        (Conversion::Double, _) if number => operand.double(),
        (Conversion::Numeric, ExprType::Int(_) | ExprType::Bool) => operand.integer(),
        (Conversion::Numeric, ExprType::Numeric(_)) => Ok(operand.sql().to_owned()),
        // The shortest decimal that reads back as the same double; the cast alone keeps 15 digits.
        (Conversion::Numeric, ExprType::Real(_) | ExprType::Double(_)) => {
            Ok(format!("{}::text::numeric", operand.arg()))
        }
        (Conversion::Text { .. }, _) => operand.text(),
        (Conversion::Bytea, ExprType::Blob)
        | (Conversion::Date, ExprType::Date)
        | (Conversion::Json, ExprType::Json) => Ok(operand.sql().to_owned()),
        (Conversion::Json, ExprType::Text) if matches!(column.pg_type, PgType::Json | PgType::Jsonb) => {
            Ok(format!("{}::{}", operand.arg(), column.pg_type))
        }
        (Conversion::UuidText, ExprType::Text) => Ok(format!("{}::uuid", operand.arg())),
        (Conversion::Epoch { unit }, ExprType::Epoch(of)) if unit == of => Ok(operand.sql().to_owned()),
        _ => Err(unfit()),
    }
}
