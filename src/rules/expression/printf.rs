//! Translates `printf()` and `format()`, as far as they put integers and texts into a text.

use super::{
    Untranslatable,
    literal::Value,
    refuse,
    typed_expr::{ExprType, TypedExpr},
};
use crate::model::identifier::quote_literal;

/// `printf(text, values...)`.
pub(super) fn call(text: &TypedExpr, values: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let Some(Value::Text(text)) = &text.constant else {
        return Err(refuse("the format of printf() is no constant"));
    };
    let mut values = values.iter();
    let mut parts: Vec<String> = Vec::new();
    let mut words = String::new();
    let mut rest = text.chars().peekable();
    while let Some(one) = rest.next() {
        if one != '%' {
            words.push(one);
            continue;
        }
        let zero = rest.next_if_eq(&'0').is_some();
        let mut digits = String::new();
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let width: u32 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| unknown())? };
        match rest.next() {
            Some('%') if digits.is_empty() && !zero => words.push('%'),
            Some('d' | 'i') => {
                flush(&mut parts, &mut words);
                parts.push(integer(values.next(), width, zero)?);
            }
            Some('s') if digits.is_empty() && !zero => {
                flush(&mut parts, &mut words);
                let value = values.next().ok_or_else(unknown)?;
                parts.push(format!("coalesce({}, '')", value.text()?));
            }
            _ => return Err(unknown()),
        }
    }
    flush(&mut parts, &mut words);
    match parts.as_slice() {
        [] => Ok(TypedExpr::constant(Value::Text(String::new()))),
        parts => Ok(TypedExpr::compound(parts.join(" || "), ExprType::Text)),
    }
}

fn unknown() -> Untranslatable {
    refuse("a format of printf() other than %d, %0Nd and %s has no exact equivalent")
}

fn flush(parts: &mut Vec<String>, words: &mut String) {
    if !words.is_empty() {
        parts.push(quote_literal(words));
        words.clear();
    }
}

/// NULL is written as 0.
fn integer(value: Option<&TypedExpr>, width: u32, zero: bool) -> Result<String, Untranslatable> {
    let value = value.ok_or_else(unknown)?;
    let range = value.range().ok_or_else(|| value.refusal("is written with %d"))?;
    let text = format!("coalesce({}, 0)::text", value.integer()?);
    if width == 0 {
        return Ok(text);
    }
    if width > 1000 || (zero && range.least < 0) {
        return Err(refuse("printf() fills a negative number up with zeros"));
    }
    let fill = if zero { "0" } else { " " };
    Ok(format!("lpad({text}, greatest({width}, length({text})), '{fill}')"))
}
