//! Translates SQLite expressions to PostgreSQL expressions, through the parsed tree and with static types, never by
//! text. What has no exact equivalent is refused with the reason.
//!
//! The static type of a column follows from its planned conversion and from the values that were seen; exact means
//! that every row of the source gives the same answer on both sides, and that no row makes PostgreSQL raise an error.
//! See docs/conversion-rules.md, section 5.1 and docs/conversion-rules.md, section 5.2.

mod parse;

mod literal;

mod typed_expr;

mod name_resolution;

mod query_context;

mod translate;

mod compare;

mod arithmetic;

mod builtins;

mod numbers;

mod strings;

mod printf;

mod like_glob;

mod datetime_functions;

mod random;

mod column_default;

mod generated;

mod assignment_cast;

mod json_guard;

use sqlite3_parser::ast::{Expr, Literal};

use crate::model::{ColumnPlan, TablePlan, source_schema::Affinity};

pub(in crate::rules) use assignment_cast::assigned;
pub(in crate::rules) use compare::{Comparison, compare, member};
pub use json_guard::JsonGuard;
pub(in crate::rules) use literal::Value;
pub use name_resolution::NameScope;
pub(in crate::rules) use name_resolution::column_operand;
pub(crate) use parse::{tokens, unquote, with_statement};
pub(in crate::rules) use query_context::QueryContext;
pub(in crate::rules) use translate::translate;
pub(in crate::rules) use typed_expr::{Collation, ExprType, IntegerRange, NumberBounds, TypedExpr, unify};

use super::affinity;

/// Why an expression was not translated. Names constructs, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untranslatable {
    /// One clause, such as `the function strftime with modifiers has no exact equivalent`.
    pub reason: String,
}

pub(in crate::rules) fn refuse(reason: impl Into<String>) -> Untranslatable {
    Untranslatable { reason: reason.into() }
}

/// A translated condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The SQL without outer parentheses.
    pub sql: String,
    /// True or NULL for every row that the column types admit: a CHECK of it checks nothing.
    pub never_false: bool,
}

impl NameScope<'_> {
    /// A condition: CHECK, or the predicate of an index.
    ///
    /// # Errors
    /// The reason why there is no exact equivalent.
    pub fn condition(&self, sql: &str) -> Result<Condition, Untranslatable> {
        parse::with_expression(sql, |expression| {
            let operand = translate::translate(self, expression)?;
            operand.uncollated()?;
            let sql = match operand.kind {
                ExprType::Bool => operand.sql().to_owned(),
                _ => operand.condition()?,
            };
            Ok(Condition { sql, never_false: operand.never_false })
        })
    }

    /// A value: what an index expression computes. The SQL may stand beside any operator.
    ///
    /// # Errors
    /// The reason why there is no exact equivalent.
    pub fn value(&self, sql: &str) -> Result<String, Untranslatable> {
        self.key(sql, None)
    }

    /// A value as the key of an index under a collation.
    ///
    /// # Errors
    /// The reason why there is no exact equivalent.
    pub fn key(&self, sql: &str, collation: Option<&str>) -> Result<String, Untranslatable> {
        parse::with_expression(sql, |expression| {
            let operand = translate::translate(self, expression)?;
            operand.uncollated()?;
            match (operand.kind, collation) {
                (ExprType::ClassOf(_) | ExprType::Null, _) => Err(operand.refusal("is the whole expression")),
                (ExprType::Text, Some("NOCASE")) => Ok(format!("lower({} COLLATE \"C\")", operand.arg())),
                (ExprType::Text, Some("RTRIM")) => Ok(format!("rtrim({}, ' ')", operand.arg())),
                (ExprType::Text, Some(_)) => Err(refuse("its collation is the application's own")),
                _ => Ok(operand.arg()),
            }
        })
    }
}

/// A function call whose arguments are columns and constant texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Lower case.
    pub name: String,
    /// Arguments that are identifiers, in order.
    pub columns: Vec<String>,
    /// Arguments that are texts, in order.
    pub texts: Vec<String>,
}

/// Reads an expression that is nothing but such a call.
#[must_use]
pub fn call(sql: &str) -> Option<Call> {
    let found = parse::with_expression(sql, |expression| {
        let Expr::FunctionCall { name, distinctness: None, args: Some(arguments), order_by: None, filter_over: None } =
            expression
        else {
            return Ok(None);
        };
        let mut call = Call { name: unquote(name.0).0.to_ascii_lowercase(), columns: Vec::new(), texts: Vec::new() };
        for argument in *arguments {
            match argument {
                Expr::Id(id) => call.columns.push(unquote(id.0).0),
                Expr::Name(name) => call.columns.push(unquote(name.0).0),
                Expr::Literal(Literal::String(token)) => call.texts.push(unquote(token).0),
                _ => return Ok(None),
            }
        }
        Ok(Some(call))
    });
    found.ok().flatten()
}

/// The DEFAULT of a column in its chosen type. `Ok(None)` means that no default is needed (`DEFAULT NULL`).
///
/// # Errors
/// The reason why there is no exact equivalent.
pub fn default(sql: &str, column: &ColumnPlan) -> Result<Option<String>, Untranslatable> {
    default_under(sql, column, affinity::of(&column.declared, false))
}

/// As [`default`], for a column whose affinity doesn't follow from its type alone (`ANY` in a STRICT table).
///
/// # Errors
/// The reason why there is no exact equivalent.
pub fn default_under(sql: &str, column: &ColumnPlan, affinity: Affinity) -> Result<Option<String>, Untranslatable> {
    parse::with_expression(sql, |expression| column_default::default_of(expression, column, affinity))
}

/// A condition over one table's columns (CHECK, partial index), taking their collations as BINARY. The result names
/// PostgreSQL columns, quoted.
///
/// # Errors
/// The reason why there is no exact equivalent.
pub fn condition(sql: &str, table: &TablePlan) -> Result<String, Untranslatable> {
    NameScope::of_plan(table).condition(sql).map(|found| found.sql)
}

/// A value over one table's columns (index expression), taking their collations as BINARY.
///
/// # Errors
/// The reason why there is no exact equivalent.
pub fn value(sql: &str, table: &TablePlan) -> Result<String, Untranslatable> {
    NameScope::of_plan(table).value(sql)
}
