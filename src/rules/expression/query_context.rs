//! Defines the context that a query gives to the expressions in it.

use std::fmt::Debug;

use sqlite3_parser::ast::Expr;

use super::{Untranslatable, typed_expr::TypedExpr};

/// A query, as far as an expression in it needs to know.
pub(in crate::rules) trait QueryContext: Debug {
    /// The column or result that an identifier names; none if there is none of that name.
    fn identifier(&self, name: &str) -> Result<Option<TypedExpr>, Untranslatable>;

    /// `table.column`.
    fn qualified(&self, table: &str, column: &str) -> Result<TypedExpr, Untranslatable>;

    /// An expression that only a query gives a meaning: a subquery, an aggregate, a window function. None for all
    /// others. `depth` is how deep it is nested in its query.
    fn part(&self, expression: &Expr<'_>, depth: usize) -> Option<Result<TypedExpr, Untranslatable>>;

    /// How deep the query is nested itself.
    fn depth(&self) -> usize;

    /// Whether the database is UTF-8.
    fn utf8(&self) -> bool;
}
