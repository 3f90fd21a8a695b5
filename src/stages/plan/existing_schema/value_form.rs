//! Describes a value by its form, so that a finding shows what is wrong without showing the value.

use crate::model::cell::SqliteCell;

/// The most characters of a form.
const CHARACTERS_MOST: usize = 32;

/// Digits as `9`, letters as `a`, everything else as it is; long forms are cut.
pub(super) fn of(cell: SqliteCell<'_>) -> String {
    match cell {
        SqliteCell::Null => "NULL".to_owned(),
        SqliteCell::Integer(number) => format!("the integer {}", shape(&number.to_string())),
        SqliteCell::Real(number) => format!("the real {}", shape(&number.to_string())),
        SqliteCell::Text(b"") => "an empty text".to_owned(),
        SqliteCell::Text(bytes) => format!("the text `{}`", shape(&String::from_utf8_lossy(bytes))),
        SqliteCell::Blob(bytes) if bytes.len() == 1 => "a blob of 1 byte".to_owned(),
        SqliteCell::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}

fn shape(text: &str) -> String {
    let one = |letter: char| match letter {
        '0'..='9' => '9',
        _ if letter.is_alphanumeric() => 'a',
        // A NUL would end the message in some terminals.
        _ if letter.is_control() => '\u{fffd}',
        '`' => '\'',
        _ => letter,
    };
    let mut form: String = text.chars().take(CHARACTERS_MOST).map(one).collect();
    if text.chars().nth(CHARACTERS_MOST).is_some() {
        form.push_str("...");
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_show_no_value() {
        assert_eq!(of(SqliteCell::Text(b"2024-01-02T03:04:05.1234567Z")), "the text `9999-99-99a99:99:99.9999999a`");
        assert_eq!(of(SqliteCell::Text("Ä-1\0".as_bytes())), "the text `a-9\u{fffd}`");
        assert_eq!(of(SqliteCell::Real(-1.5)), "the real -9.9");
        assert_eq!(of(SqliteCell::Text(&[b'x'; 40])), format!("the text `{}...`", "a".repeat(32)));
        assert_eq!(of(SqliteCell::Blob(&[0; 16])), "a blob of 16 bytes");
    }
}
