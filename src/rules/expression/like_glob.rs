//! Translates LIKE and GLOB.

use sqlite3_parser::ast::LikeOperator;

use super::{
    Untranslatable,
    literal::Value,
    refuse,
    typed_expr::{ExprType, TypedExpr},
};
use crate::model::identifier::quote_literal;

/// `value [NOT] operator pattern [ESCAPE escape]`.
pub(super) fn matches(
    operator: LikeOperator,
    value: &TypedExpr,
    not: bool,
    pattern: &TypedExpr,
    escape: Option<&TypedExpr>,
) -> Result<TypedExpr, Untranslatable> {
    value.uncollated()?;
    pattern.uncollated()?;
    match operator {
        LikeOperator::Like => like(value, not, pattern, escape),
        LikeOperator::Glob => glob(value, not, pattern),
        LikeOperator::Match => Err(refuse("MATCH belongs to a full-text index")),
        LikeOperator::Regexp => Err(refuse("REGEXP means what the application defines")),
    }
}

/// LIKE folds A to Z on both sides, and has no escape character of its own.
pub(super) fn like(
    value: &TypedExpr,
    not: bool,
    pattern: &TypedExpr,
    escape: Option<&TypedExpr>,
) -> Result<TypedExpr, Untranslatable> {
    if value.is_null() || pattern.is_null() {
        return Ok(TypedExpr::atom("NULL::boolean", ExprType::Bool));
    }
    let character = match escape.map(|escape| &escape.constant) {
        None => String::new(),
        Some(Some(Value::Text(text))) => text.clone(),
        Some(_) => return Err(refuse("LIKE has an escape character that is no constant")),
    };
    let not = if not { "NOT " } else { "" };
    let folded = |operand: &TypedExpr| Ok(format!("lower({} COLLATE \"C\")", operand.text()?));
    if escape.is_some() {
        let mut characters = character.chars();
        let sole = characters.next().filter(|_| characters.next().is_none());
        let usable = sole.is_some_and(|one| !one.is_alphabetic() && one != '%' && one != '_');
        let dangling = match &pattern.constant {
            Some(Value::Text(text)) => sole.is_none_or(|one| ends_in_escape(text, one)),
            // PostgreSQL raises an error for a pattern that ends in the escape character.
            _ => true,
        };
        if !usable || dangling {
            return Err(refuse("LIKE with such an escape character has no exact equivalent"));
        }
    }
    let sql = format!("{} {not}LIKE {} ESCAPE {}", folded(value)?, folded(pattern)?, quote_literal(&character));
    Ok(TypedExpr::compound(sql, ExprType::Bool))
}

fn ends_in_escape(pattern: &str, escape: char) -> bool {
    pattern.chars().fold(false, |open, one| !open && one == escape)
}

/// GLOB with a constant pattern, as a regular expression that matches the whole text.
pub(super) fn glob(value: &TypedExpr, not: bool, pattern: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    if value.is_null() || pattern.is_null() {
        return Ok(TypedExpr::atom("NULL::boolean", ExprType::Bool));
    }
    let Some(Value::Text(text)) = &pattern.constant else {
        return Err(refuse("GLOB has a pattern that is no constant"));
    };
    let expression = regular(text).ok_or_else(|| refuse("a GLOB pattern has no exact equivalent"))?;
    let operator = if not { "!~" } else { "~" };
    let sql = format!("{} COLLATE \"C\" {operator} {}", value.text()?, quote_literal(&expression));
    Ok(TypedExpr::compound(sql, ExprType::Bool))
}

/// The regular expression (PostgreSQL 9.7.3) of a GLOB pattern (SQLite `func.c`, `patternCompare`).
fn regular(pattern: &str) -> Option<String> {
    let mut expression = "^".to_owned();
    let mut rest = pattern.chars().peekable();
    while let Some(one) = rest.next() {
        match one {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => {
                let inverted = rest.next_if_eq(&'^').is_some();
                // A closing bracket in the first place is a member, and starts no range.
                let bracket = rest.next_if_eq(&']').is_some();
                let mut members = Vec::new();
                loop {
                    match rest.next()? {
                        ']' => break,
                        member => members.push(member),
                    }
                }
                expression.push_str(&class(bracket, &members, inverted)?);
            }
            one => push_escaped(&mut expression, one),
        }
    }
    expression.push('$');
    Some(expression)
}

fn class(bracket: bool, members: &[char], inverted: bool) -> Option<String> {
    let mut text = if inverted { "[^".to_owned() } else { "[".to_owned() };
    if bracket {
        push_member(&mut text, ']');
    }
    let mut index = 0;
    while let Some(one) = members.get(index).copied() {
        let range_end = match (members.get(index + 1), members.get(index + 2)) {
            (Some('-'), Some(end)) => Some(*end),
            _ => None,
        };
        push_member(&mut text, one);
        if let Some(end) = range_end {
            if end < one {
                return None;
            }
            text.push('-');
            push_member(&mut text, end);
            index += 3;
        } else {
            index += 1;
        }
    }
    text.push(']');
    (bracket || !members.is_empty()).then_some(text)
}

fn push_member(text: &mut String, member: char) {
    if matches!(member, '\\' | ']' | '[' | '^' | '-') {
        text.push('\\');
    }
    text.push(member);
}

fn push_escaped(text: &mut String, one: char) {
    if one.is_ascii_punctuation() {
        text.push('\\');
    }
    text.push(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_patterns_become_regular_expressions() {
        for (pattern, expected) in [
            ("a*", Some("^a.*$")),
            ("a[^0-9]?", Some("^a[^0-9].$")),
            ("[]x]", Some(r"^[\]x]$")),
            ("[]-a]", Some(r"^[\]\-a]$")),
            ("[a-c-e]", Some(r"^[a-c\-e]$")),
            ("[a-]", Some(r"^[a\-]$")),
            ("1.5", Some(r"^1\.5$")),
            (r"\d", Some(r"^\\d$")),
            ("[[:x]", Some(r"^[\[:x]$")),
            ("[z-a]", None),
            ("[a", None),
            ("", Some("^$")),
        ] {
            assert_eq!(regular(pattern).as_deref(), expected, "{pattern}");
        }
    }

    #[test]
    fn an_escape_at_the_end_is_seen() {
        assert!(ends_in_escape("a!", '!'));
        assert!(!ends_in_escape("a!!", '!'));
        assert!(ends_in_escape("a!!!", '!'));
        assert!(!ends_in_escape("", '!'));
    }
}
