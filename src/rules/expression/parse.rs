//! Calls the SQL parser, which returns SQLite's syntax tree or a reason.
//!
//! Invariant: the parser is never handed what it may panic on or what could overflow the stack when its tree is
//! walked, printed or dropped: the text is valid UTF-8 by type, its nesting is measured token by token first, and a
//! panic is caught all the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlite3_parser::{
    Bump, FallibleIterator,
    ast::{Cmd, Expr, OneSelect, ResultColumn, Stmt},
    lexer::{
        Scanner,
        sql::{Parser, TokenType, Tokenizer},
    },
};

use super::{Untranslatable, refuse};

/// Deepest nesting of parentheses, CASE and prefix operators. SQLite's own parser stops at 100 parentheses by default
/// (`YYSTACKDEPTH`).
const NESTING_MAX: usize = 200;

/// Most tokens of one expression. SQLite's own limit is a depth of 1,000 operators (`SQLITE_MAX_EXPR_DEPTH`).
const EXPRESSION_TOKENS_MAX: usize = 20_000;

/// One token: its type, and where it starts and ends in bytes.
pub(crate) type TokenSpan = (TokenType, usize, usize);

/// The tokens of a statement without white space and comments; none if it can't be read.
pub(crate) fn tokens(sql: &str) -> Option<Vec<TokenSpan>> {
    let mut scanner = Scanner::new(Tokenizer::new());
    let mut found = Vec::new();
    while let (start, Some((_, kind)), end) = scanner.scan(sql.as_bytes()).ok()? {
        found.push((kind, start, end));
    }
    Some(found)
}

fn nesting(tokens: &[TokenSpan]) -> usize {
    let (mut open, mut run, mut deepest) = (0_usize, 0_usize, 0_usize);
    for (kind, _, _) in tokens {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list of 180 tokens")]
        match kind {
            TokenType::TK_LP | TokenType::TK_CASE => open += 1,
            TokenType::TK_RP | TokenType::TK_END => open = open.saturating_sub(1),
            _ => {}
        }
        let prefix = matches!(
            kind,
            TokenType::TK_NOT | TokenType::TK_MINUS | TokenType::TK_PLUS | TokenType::TK_BITNOT | TokenType::TK_LP
        );
        run = if prefix { run + 1 } else { 0 };
        deepest = deepest.max(open + run);
    }
    deepest
}

/// Parses one statement and shows it to `read`. Trailing text after the statement is refused.
///
/// # Errors
/// A clause saying why there is no tree.
pub(crate) fn with_statement<T>(sql: &str, read: impl FnOnce(&Stmt<'_>) -> T) -> Result<T, &'static str> {
    let tokens = tokens(sql).ok_or("its SQL has a token that can't be read")?;
    if nesting(&tokens) > NESTING_MAX {
        return Err("its SQL is nested too deeply");
    }
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        let bump = Bump::new();
        let mut parser = Parser::new(&bump, sql.as_bytes());
        match parser.next() {
            Ok(Some(Cmd::Stmt(statement))) => match parser.next() {
                Ok(None) => Ok(read(&statement)),
                Ok(Some(_)) | Err(_) => Err("its SQL is more than one statement"),
            },
            Ok(Some(Cmd::Explain(_) | Cmd::ExplainQueryPlan(_)) | None) => Err("its SQL is no statement"),
            Err(_) => Err("its SQL can't be parsed"),
        }
    }));
    parsed.unwrap_or(Err("its SQL can't be parsed"))
}

/// Parses one expression and shows it to `read`.
///
/// # Errors
/// The reason why there is no tree, or what `read` says.
pub(super) fn with_expression<T>(
    sql: &str,
    read: impl FnOnce(&Expr<'_>) -> Result<T, Untranslatable>,
) -> Result<T, Untranslatable> {
    if sql.trim().is_empty() {
        return Err(refuse("its SQL can't be read"));
    }
    if tokens(sql).is_some_and(|tokens| tokens.len() > EXPRESSION_TOKENS_MAX) {
        return Err(refuse("it is too long"));
    }
    // The line end closes a comment that the text may end with.
    let statement = format!("SELECT ({sql}\n)");
    let read = with_statement(&statement, |statement| {
        let expression = sole_expression(statement).ok_or_else(|| refuse("its SQL is no expression"))?;
        read(expression)
    });
    read.unwrap_or_else(|reason| Err(refuse(reason)))
}

fn sole_expression<'tree>(statement: &'tree Stmt<'tree>) -> Option<&'tree Expr<'tree>> {
    let Stmt::Select(select) = statement else { return None };
    let OneSelect::Select { columns: [ResultColumn::Expr(Expr::Parenthesized(inner), None)], from: None, .. } =
        &select.body.select
    else {
        return None;
    };
    match inner.as_slice() {
        [expression] => Some(expression),
        _ => None,
    }
}

/// How an identifier was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// Not quoted.
    Bare,
    /// `"name"`: a string where no such column exists (SQLite "Quirks", section 8).
    Double,
    /// `'name'`, which SQLite accepts for names.
    Single,
    /// `` `name` `` or `[name]`.
    Other,
}

/// The name that an identifier or string token stands for.
pub(crate) fn unquote(raw: &str) -> (String, Quoting) {
    let inner = |open: char, close: char| raw.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(name) = inner('"', '"') {
        (name.replace("\"\"", "\""), Quoting::Double)
    } else if let Some(name) = inner('\'', '\'') {
        (name.replace("''", "'"), Quoting::Single)
    } else if let Some(name) = inner('`', '`') {
        (name.replace("``", "`"), Quoting::Other)
    } else if let Some(name) = inner('[', ']') {
        (name.to_owned(), Quoting::Other)
    } else {
        (raw.to_owned(), Quoting::Bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(sql: &str) -> Result<String, Untranslatable> {
        with_expression(sql, |expression| Ok(expression.to_string()))
    }

    #[test]
    fn one_expression_is_read_and_nothing_else() {
        assert_eq!(printed("a > 1 -- why").unwrap(), "a > 1");
        for sql in
            ["", "  ", "a, b", "a) , (b", "a AS b", "1; SELECT 2", "a) FROM (t", "a >", "'x", "(1) UNION SELECT (2)"]
        {
            assert!(printed(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn depth_never_reaches_the_stack() {
        for sql in [
            format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
            format!("{} 1", "NOT ".repeat(100_000)),
            format!("{} 1", "- ".repeat(100_000)),
            format!("{} 1 {}", "CASE WHEN 1 THEN ".repeat(50_000), "END ".repeat(50_000)),
            format!("1{}", " + 1".repeat(100_000)),
        ] {
            assert!(printed(&sql).is_err());
        }
    }

    #[test]
    fn names_lose_their_quotes() {
        assert_eq!(unquote("\"a\"\"b\""), ("a\"b".to_owned(), Quoting::Double));
        assert_eq!(unquote("'it''s'"), ("it's".to_owned(), Quoting::Single));
        assert_eq!(unquote("`a``b`"), ("a`b".to_owned(), Quoting::Other));
        assert_eq!(unquote("[a b]"), ("a b".to_owned(), Quoting::Other));
        assert_eq!(unquote("plain"), ("plain".to_owned(), Quoting::Bare));
        assert_eq!(unquote("\""), ("\"".to_owned(), Quoting::Bare));
    }
}
