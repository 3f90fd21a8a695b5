//! Finds and replaces names in SQL that PostgreSQL printed.
//!
//! The text is not parsed. A name is found wherever it stands as a whole word, in literals too (`nextval('t_id_seq')`), so
//! more may be found than is meant: an object is then dropped and created again that could have stayed.

use crate::model::catalog::quote_ident_if_needed;

/// Whether the text contains this name as a whole word.
pub(super) fn mentions(sql: &str, name: &str) -> bool {
    positions(sql, name).next().is_some()
}

/// The text with another name in place of this one.
pub(super) fn with_name_replaced(sql: &str, old: &str, new: &str) -> String {
    let (quoted, plain) = (new.replace('"', "\"\""), quote_ident_if_needed(new));
    let mut text = String::with_capacity(sql.len());
    let mut done = 0;
    for at in positions(sql, old) {
        let (Some(before), Some(rest)) = (sql.get(done..at), sql.get(at + old.len()..)) else { continue };
        text.push_str(before);
        let is_quoted = text.ends_with('"') && rest.starts_with('"');
        text.push_str(if is_quoted { &quoted } else { &plain });
        done = at + old.len();
    }
    text.push_str(sql.get(done..).unwrap_or_default());
    text
}

fn positions<'a>(sql: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    sql.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = sql.get(..*at).and_then(|text| text.chars().next_back());
        let after = sql.get(at + name.len()..).and_then(|text| text.chars().next());
        !name.is_empty() && !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
    })
}

/// What a COMMENT statement comments on, and the text as it is written; none for another statement.
pub(super) fn comment_parts(statement: &str) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    for (at, letter) in statement.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => {
                let rest = statement.get(at..)?;
                if rest.starts_with(" IS '") || rest.starts_with(" IS E'") {
                    return Some((statement.get(..at)?, rest.get(" IS ".len()..)?));
                }
            }
            _ => {}
        }
    }
    None
}
