//! A file of SQL as psql takes it, cut into statements: what Drizzle, Prisma and `pg_dump --schema-only` write.
//!
//! What creates roles and databases or names owners is left out: tables are owned by the role that pushes them.

use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind, Result};

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// Its text without the semicolon.
    pub(super) sql: String,
}

/// psql's own commands that mean nothing here.
const IGNORED_COMMANDS: [&str; 8] = ["restrict", "unrestrict", "connect", "c", "echo", "set", "encoding", "pset"];

/// First words of statements that are left out; `*` stands for any word.
const LEFT_OUT: [&[&str]; 8] = [
    &["CREATE", "ROLE"],
    &["CREATE", "USER"],
    &["ALTER", "ROLE"],
    &["CREATE", "DATABASE"],
    &["ALTER", "DATABASE"],
    &["DROP", "DATABASE"],
    &["COMMENT", "ON", "EXTENSION"],
    &["SET", "ROLE"],
];

impl Statement {
    /// Whether its first words are these.
    pub(super) fn begins_with(&self, words: &[&str]) -> bool {
        let mut found = words_of(&self.sql);
        words.iter().all(|word| found.next().is_some_and(|found| found.eq_ignore_ascii_case(word)))
    }

    /// Whether its failure changes nothing about the tables: a setting that this server doesn't know, a schema that
    /// is there already.
    pub(super) fn may_fail(&self, error: &Error) -> bool {
        let is_there = error.sqlstate() == Some(&SqlState::DUPLICATE_SCHEMA);
        self.begins_with(&["SET"]) || (self.begins_with(&["CREATE", "SCHEMA"]) && is_there)
    }

    fn is_left_out(&self) -> bool {
        let owner = self.begins_with(&["ALTER"]) && {
            let words: Vec<String> = words_of(&self.sql).map(str::to_ascii_uppercase).collect();
            words.windows(2).any(|pair| matches!(pair, [one, two] if one == "OWNER" && two == "TO"))
        };
        owner || LEFT_OUT.iter().any(|words| self.begins_with(words))
    }
}

fn words_of(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|letter: char| letter.is_whitespace() || letter == '(').filter(|word| !word.is_empty())
}

/// The statements that make a schema.
///
/// # Errors
/// `Config` for a command of psql that changes what runs, and for rows (`COPY ... FROM stdin`).
pub(super) fn statements(text: &str) -> Result<Vec<Statement>> {
    let mut found = every_statement(text)?;
    found.retain(|statement| !statement.is_left_out());
    Ok(found)
}

/// All statements.
///
/// # Errors
/// As [`statements`].
pub(super) fn every_statement(text: &str) -> Result<Vec<Statement>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut cutter = SqlSplitter { rest: text, line: 1, found: Vec::new(), sql: String::new(), begun: 1 };
    while !cutter.rest.is_empty() {
        cutter.step()?;
    }
    cutter.end()?;
    Ok(cutter.found)
}

struct SqlSplitter<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Statement>,
    sql: String,
    begun: usize,
}

impl SqlSplitter<'_> {
    fn step(&mut self) -> Result<()> {
        let rest = self.rest;
        let between = self.sql.is_empty();
        if rest.starts_with("--") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(comment_length(rest));
            // A comment parts words.
            if !between {
                self.sql.push(' ');
            }
        } else if between && rest.starts_with('\\') {
            self.command()?;
        } else if rest.starts_with('\'') {
            let escapes = self.sql.ends_with(['e', 'E']) && !ends_a_word(&self.sql);
            self.keep(quoted_length(rest, '\'', escapes));
        } else if rest.starts_with('"') {
            self.keep(quoted_length(rest, '"', false));
        } else if let Some(length) = dollar_length(rest, &self.sql) {
            self.keep(length);
        } else if rest.starts_with(';') {
            self.skip(1);
            self.end()?;
        } else if between && rest.starts_with(char::is_whitespace) {
            self.skip(rest.chars().next().map_or(1, char::len_utf8));
        } else {
            self.keep(rest.chars().next().map_or(1, char::len_utf8));
        }
        Ok(())
    }

    fn advance(&mut self, length: usize) -> String {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken.to_owned()
    }

    fn skip(&mut self, length: usize) {
        self.advance(length);
    }

    fn keep(&mut self, length: usize) {
        if self.sql.is_empty() {
            self.begun = self.line;
        }
        let taken = self.advance(length);
        self.sql.push_str(&taken);
    }

    fn end(&mut self) -> Result<()> {
        let sql = std::mem::take(&mut self.sql).trim().to_owned();
        if sql.is_empty() {
            return Ok(());
        }
        let statement = Statement { line: self.begun, sql };
        let upper = statement.sql.to_ascii_uppercase();
        if statement.begins_with(&["COPY"]) && upper.contains("FROM STDIN") {
            return Err(Error::new(Kind::Config, format!("line {}: it holds rows", statement.line))
                .with_hint("make it without rows: pg_dump --schema-only"));
        }
        self.found.push(statement);
        Ok(())
    }

    /// A command of psql, to the end of its line.
    fn command(&mut self) -> Result<()> {
        let line = self.line;
        let length = self.rest.find('\n').unwrap_or(self.rest.len());
        let text = self.advance(length);
        let word = text.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
        if IGNORED_COMMANDS.contains(&word) {
            return Ok(());
        }
        Err(Error::new(Kind::Config, format!("line {line}: a command of psql can't be run here"))
            .with_hint("leave only SQL in the file"))
    }
}

/// Whether what stands before the last letter is a letter too, so that it is no `E` before a string.
fn ends_a_word(sql: &str) -> bool {
    sql.chars().rev().nth(1).is_some_and(|before| before.is_alphanumeric() || before == '_')
}

/// Bytes of a string or a quoted name, its quotes included.
fn quoted_length(text: &str, quote: char, escapes: bool) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if escapes && letter == '\\' {
            letters.next();
        } else if letter == quote {
            if letters.peek().is_some_and(|(_, next)| *next == quote) {
                letters.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

/// Bytes of a comment, which may hold comments.
fn comment_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

/// Bytes of a dollar-quoted string that begins here, if one does.
fn dollar_length(text: &str, before: &str) -> Option<usize> {
    let inner = text.strip_prefix('$')?;
    if before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
        return None;
    }
    let (tag, body) = inner.split_once('$')?;
    if tag.starts_with(|letter: char| letter.is_ascii_digit())
        || !tag.chars().all(|one| one.is_alphanumeric() || one == '_')
    {
        return None;
    }
    let mark = format!("${tag}$");
    let end = body.find(&mark).map_or(body.len(), |end| end + mark.len());
    Some(mark.len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        statements(text).unwrap().into_iter().map(|statement| (statement.line, statement.sql)).collect()
    }

    #[test]
    fn statements_end_where_psql_ends_them() {
        let text = "-- a; comment\nCREATE TABLE \"a;b\" (x text DEFAULT 'it''s; fine');--> statement-breakpoint\n\
                    /* one /* two; */ */ SELECT E'\\';', $$;$$, $t$ ; $$ $t$;\n\nSELECT 1";
        assert_eq!(
            found(text),
            [
                (2, "CREATE TABLE \"a;b\" (x text DEFAULT 'it''s; fine')".to_owned()),
                (3, "SELECT E'\\';', $$;$$, $t$ ; $$ $t$".to_owned()),
                (5, "SELECT 1".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_about_roles_and_psql_is_left_out() {
        let text = "\\restrict abc\n\\connect shop\nALTER TABLE public.a OWNER TO neondb_owner;\nCREATE ROLE b;\n\
                    CREATE TABLE a (owner int);\n\\unrestrict abc\n";
        assert_eq!(found(text), [(5, "CREATE TABLE a (owner int)".to_owned())]);
        assert!(statements("\\i other.sql\n").is_err());
        assert!(statements("COPY a (x) FROM stdin;\n1\n\\.\n").is_err());
        assert_eq!(found("\u{feff}SELECT $1"), [(1, "SELECT $1".to_owned())]);
    }

    #[test]
    fn unfinished_text_is_the_servers_to_refuse() {
        for text in ["SELECT 'a", "SELECT \"a", "SELECT $$a", "/* a", "SELECT E'\\"] {
            assert!(statements(text).is_ok(), "{text}");
        }
    }
}
