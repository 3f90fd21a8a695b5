//! Recognises checks that require the texts of a column to be JSON, as ORMs write them.
//!
//! PostgreSQL has `IS JSON` only from version 16 on. A cast does the same work in a check: it raises an error for what
//! is no JSON, and so refuses the row. That is right only where the whole check fails with it, so only these forms are
//! known: `json_valid(x)`, alone or beside `x IS NULL`.

use sqlite3_parser::ast::{Expr, Literal, Operator};

use super::{parse, unquote};
use crate::model::identifier::quote_ident;

/// A check of one of the known forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonGuard {
    /// The column's name in SQLite.
    pub column: String,
    or_null: bool,
}

impl JsonGuard {
    /// Reads a check.
    #[must_use]
    pub fn read(sql: &str) -> Option<Self> {
        parse::with_expression(sql, |expression| Ok(guard(expression))).ok().flatten()
    }

    /// The condition over a column of this name: true for JSON, and for NULL what SQLite gives.
    #[must_use]
    pub fn condition(&self, name: &str) -> String {
        let column = quote_ident(name);
        let null = if self.or_null { format!("{column} IS NULL") } else { "NULL".to_owned() };
        format!("{column}::json IS NOT NULL OR {null}")
    }
}

fn guard(expression: &Expr<'_>) -> Option<JsonGuard> {
    match inside(expression) {
        Expr::Binary(left, Operator::Or, right) => {
            let (valid, null) = match (validated(left), validated(right)) {
                (Some(column), None) => (column, right),
                (None, Some(column)) => (column, left),
                _ => return None,
            };
            let (Expr::IsNull(nullable) | Expr::Binary(nullable, Operator::Is, Expr::Literal(Literal::Null))) =
                inside(null)
            else {
                return None;
            };
            let same = named(nullable)?.eq_ignore_ascii_case(&valid);
            same.then_some(JsonGuard { column: valid, or_null: true })
        }
        other => validated(other).map(|column| JsonGuard { column, or_null: false }),
    }
}

/// The expression within its parentheses.
fn inside<'e, 'b>(mut expression: &'e Expr<'b>) -> &'e Expr<'b> {
    while let Expr::Parenthesized(list) = expression {
        let [one] = list.as_slice() else { break };
        expression = one;
    }
    expression
}

/// The column of `json_valid(x)`.
fn validated(expression: &Expr<'_>) -> Option<String> {
    let Expr::FunctionCall { name, distinctness: None, args: Some(arguments), order_by: None, filter_over: None } =
        inside(expression)
    else {
        return None;
    };
    let [argument] = arguments else { return None };
    unquote(name.0).0.eq_ignore_ascii_case("json_valid").then(|| named(argument)).flatten()
}

fn named(expression: &Expr<'_>) -> Option<String> {
    match inside(expression) {
        Expr::Id(id) => Some(unquote(id.0).0),
        Expr::Name(name) => Some(unquote(name.0).0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_that_fail_with_the_cast_are_known() {
        let read = |sql: &str| JsonGuard::read(sql).map(|guard| guard.condition("Data"));
        let known = Some("\"Data\"::json IS NOT NULL OR \"Data\" IS NULL".to_owned());
        assert_eq!(read("(JSON_VALID (\"data\") OR \"data\" IS NULL)"), known);
        assert_eq!(read("data IS NULL OR json_valid(data)"), known);
        assert_eq!(read("json_valid(data)"), Some("\"Data\"::json IS NOT NULL OR NULL".to_owned()));
        for other in
            ["NOT json_valid(data)", "json_valid(data) OR data = ''", "json_valid(a) OR b IS NULL", "json_valid(a, 8)"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
