//! Translates random values in defaults: hexadecimal identifiers, hand-made UUIDs, `random()`. PostgreSQL's own source
//! of strong randomness without an extension is `gen_random_uuid()`, with 122 random bits.

use sqlite3_parser::ast::{Expr, Literal, Operator};

use super::{
    Untranslatable,
    literal::{self, Value},
    parse::unquote,
    refuse,
    typed_expr::{ExprType, IntegerRange, TypedExpr},
};

/// Most bytes that are drawn from one UUID's randomness.
const BYTES_MAX: i64 = 32;

/// `random()` and `randomblob(n)`.
pub(super) fn call(name: &str, arguments: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    match (name, arguments) {
        ("random", []) => Ok(TypedExpr::atom(
            "('x' || right(encode(uuid_send(gen_random_uuid()), 'hex'), 16))::bit(64)::bigint",
            ExprType::Int(IntegerRange::all()),
        )),
        ("randomblob", [TypedExpr { constant: Some(Value::Integer(16)), .. }]) => {
            Ok(TypedExpr::atom("uuid_send(gen_random_uuid())", ExprType::Blob))
        }
        ("randomblob", [TypedExpr { constant: Some(Value::Integer(count)), .. }])
            if (1..=BYTES_MAX).contains(count) =>
        {
            Ok(TypedExpr::atom(format!("substr(sha256(uuid_send(gen_random_uuid())), 1, {count})"), ExprType::Blob))
        }
        _ => Err(refuse(format!("{name}() with these arguments has no exact equivalent"))),
    }
}

/// One character of a random text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// A random hexadecimal digit, upper case if so.
    Digit { upper: bool },
    /// Always this.
    Fixed(char),
}

/// A text of random digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RandomText {
    /// A UUID in its canonical form.
    Uuid { upper: bool },
    /// So many digits.
    Digits { count: usize, upper: bool },
}

impl RandomText {
    /// Characters of the text.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Uuid { .. } => 36,
            Self::Digits { count, .. } => count,
        }
    }

    /// A `text` of that form.
    pub(super) fn sql(self) -> String {
        let (sql, upper) = match self {
            Self::Uuid { upper } => ("gen_random_uuid()::text".to_owned(), upper),
            Self::Digits { count: 32, upper } => ("replace(gen_random_uuid()::text, '-', '')".to_owned(), upper),
            Self::Digits { count, upper } => {
                (format!("substr(encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 1, {count})"), upper)
            }
        };
        if upper { format!("upper({sql})") } else { sql }
    }
}

/// Recognises `lower(hex(randomblob(16)))`, hand-made UUIDs and their kin by the text they make.
pub(super) fn random_text(expression: &Expr<'_>) -> Option<RandomText> {
    let slots = slots(expression, 0)?;
    let upper = slots.iter().find_map(|slot| match slot {
        Slot::Digit { upper } => Some(*upper),
        Slot::Fixed(_) => None,
    })?;
    let digit = |slot: &Slot| match slot {
        Slot::Digit { upper: found } => *found == upper,
        Slot::Fixed(_) => false,
    };
    if slots.iter().all(digit) && slots.len() <= 64 {
        return Some(RandomText::Digits { count: slots.len(), upper });
    }
    let fits = |(index, slot): (usize, &Slot)| match slot {
        Slot::Fixed('-') => [8, 13, 18, 23].contains(&index),
        Slot::Fixed(one) => {
            one.is_ascii_hexdigit() && (one.is_ascii_digit() || one.is_ascii_uppercase() == upper) && dashless(index)
        }
        Slot::Digit { .. } => digit(slot) && dashless(index),
    };
    (slots.len() == 36 && slots.iter().enumerate().all(fits)).then_some(RandomText::Uuid { upper })
}

fn dashless(index: usize) -> bool {
    ![8, 13, 18, 23].contains(&index)
}

fn slots(expression: &Expr<'_>, depth: usize) -> Option<Vec<Slot>> {
    if depth > 40 {
        return None;
    }
    let inner = |expression: &Expr<'_>| slots(expression, depth + 1);
    match expression {
        Expr::Parenthesized(inside) => match inside.as_slice() {
            [one] => inner(one),
            _ => None,
        },
        Expr::Literal(Literal::String(token)) => Some(literal::string(token)?.chars().map(Slot::Fixed).collect()),
        Expr::Binary(left, Operator::Concat, right) => {
            let mut found = inner(left)?;
            found.extend(inner(right)?);
            Some(found)
        }
        Expr::FunctionCall { name, distinctness: None, args: Some(arguments), order_by: None, filter_over: None } => {
            let name = unquote(name.0).0.to_ascii_lowercase();
            match (name.as_str(), *arguments) {
                ("hex", [bytes]) => Some(vec![Slot::Digit { upper: true }; random_bytes(bytes)?.checked_mul(2)?]),
                ("lower", [text]) => Some(in_case(inner(text)?, false)),
                ("upper", [text]) => Some(in_case(inner(text)?, true)),
                ("substr" | "substring", [text, start, rest @ ..]) => part(&inner(text)?, start, rest),
                _ => None,
            }
        }
        _ => None,
    }
}

fn in_case(slots: Vec<Slot>, upper: bool) -> Vec<Slot> {
    let turned = |slot| match slot {
        Slot::Digit { .. } => Slot::Digit { upper },
        Slot::Fixed(one) if upper => Slot::Fixed(one.to_ascii_uppercase()),
        Slot::Fixed(one) => Slot::Fixed(one.to_ascii_lowercase()),
    };
    slots.into_iter().map(turned).collect()
}

fn random_bytes(expression: &Expr<'_>) -> Option<usize> {
    let Expr::FunctionCall { name, args: Some([count]), .. } = expression else { return None };
    if !unquote(name.0).0.eq_ignore_ascii_case("randomblob") {
        return None;
    }
    count.is_integer().filter(|count| (1..=BYTES_MAX).contains(count)).and_then(|count| usize::try_from(count).ok())
}

/// `substr(text, start[, length])` with constants, or one random character of a set of digits.
fn part(slots: &[Slot], start: &Expr<'_>, rest: &[Expr<'_>]) -> Option<Vec<Slot>> {
    let length = match rest {
        [] => None,
        [length] => Some(usize::try_from(length.is_integer()?).ok()?),
        _ => return None,
    };
    if let Some(start) = start.is_integer() {
        let skipped = slots.get(usize::try_from(start).ok()?.checked_sub(1)?..)?;
        return Some(skipped.get(..length.unwrap_or(skipped.len()).min(skipped.len()))?.to_vec());
    }
    let digits = slots.iter().all(|slot| matches!(slot, Slot::Fixed(one) if one.is_ascii_hexdigit()));
    let upper = slots.iter().any(|slot| matches!(slot, Slot::Fixed(one) if one.is_ascii_uppercase()));
    let drawn = start.to_string().to_ascii_lowercase().contains("random");
    (digits && drawn && length == Some(1)).then(|| vec![Slot::Digit { upper }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::expression::parse::with_expression;

    fn found(sql: &str) -> Option<RandomText> {
        with_expression(sql, |expression| Ok(random_text(expression))).unwrap()
    }

    #[test]
    fn identifiers_are_recognised_by_the_text_they_make() {
        let by_hand = "lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4' || \
                       substr(lower(hex(randomblob(2))),2) || '-' || substr('89ab',abs(random()) % 4 + 1, 1) || \
                       substr(lower(hex(randomblob(2))),2) || '-' || lower(hex(randomblob(6)))";
        assert_eq!(found(by_hand), Some(RandomText::Uuid { upper: false }));
        let all_random = "upper(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || \
                          hex(randomblob(2)) || '-' || hex(randomblob(6)))";
        assert_eq!(found(all_random), Some(RandomText::Uuid { upper: true }));
        for (sql, expected) in [
            ("lower(hex(randomblob(16)))", Some(RandomText::Digits { count: 32, upper: false })),
            ("(hex(randomblob(8)))", Some(RandomText::Digits { count: 16, upper: true })),
            ("hex(randomblob(16)) || lower(hex(randomblob(1)))", None),
            ("hex(randomblob(100))", None),
            ("'abc'", None),
            ("hex(zeroblob(4))", None),
            ("'id-' || hex(randomblob(4))", None),
        ] {
            assert_eq!(found(sql), expected, "{sql}");
        }
    }
}
