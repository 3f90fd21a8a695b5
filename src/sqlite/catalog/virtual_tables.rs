//! Finds out where the rows of virtual tables are stored (docs/conversion-rules.md, section 6.5).

use rusqlite::Connection;
use sqlite3_parser::ast::Stmt;

use crate::{
    model::identifier::quote_ident,
    rules::expression::{unquote, with_statement},
};

/// A CREATE VIRTUAL TABLE.
pub(super) struct VirtualTable {
    /// The module, lower case.
    pub module: String,
    arguments: Vec<String>,
}

/// Where a virtual table's rows are.
pub(super) enum RowLocation {
    /// In the table itself, readable here.
    Own,
    /// In another table, or nowhere: nothing is lost with it; why.
    Elsewhere(String),
    /// Out of reach; why.
    Lost(String),
}

/// Reads `CREATE VIRTUAL TABLE ... USING module(arguments)`.
pub(super) fn parse(sql: &str) -> Option<VirtualTable> {
    let starts =
        sql.split_ascii_whitespace().zip(["CREATE", "VIRTUAL"]).all(|(word, wanted)| word.eq_ignore_ascii_case(wanted));
    if !starts || sql.is_empty() {
        return None;
    }
    let parsed = with_statement(sql, |statement| match statement {
        Stmt::CreateVirtualTable { module_name, args, .. } => Some(VirtualTable {
            module: unquote(module_name.0).0.to_ascii_lowercase(),
            arguments: args.unwrap_or_default().iter().map(|argument| (*argument).to_owned()).collect(),
        }),
        _ => None,
    });
    // What can't be parsed is a virtual table all the same, of a module that can't be opened.
    parsed.unwrap_or_else(|_| Some(VirtualTable { module: "unknown".to_owned(), arguments: Vec::new() }))
}

/// Whether the engine can open the table.
pub(super) fn opens(connection: &Connection, name: &str) -> bool {
    connection.prepare(&format!("SELECT * FROM main.{} LIMIT 0", quote_ident(name))).is_ok()
}

/// Whether it is one of SQLite's full-text modules.
pub(super) fn is_text_index(module: &str) -> bool {
    matches!(module, "fts5" | "fts4" | "fts3")
}

/// Where the rows are.
pub(super) fn content(connection: &Connection, name: &str, table: &VirtualTable) -> RowLocation {
    let module = table.module.as_str();
    if is_text_index(module) {
        match table.option("content").as_deref() {
            Some("") => {
                return RowLocation::Lost(format!(
                    "a contentless {module} index: the texts it was made from are not stored"
                ));
            }
            Some(_) => {
                return RowLocation::Elsewhere(format!(
                    "a {module} index over another table, which is carried; it has no rows of its own"
                ));
            }
            None => {}
        }
    }
    if matches!(module, "fts5vocab" | "fts4aux" | "fts3tokenize" | "dbstat" | "sqlite_dbpage" | "sqlite_stmt") {
        return RowLocation::Elsewhere(format!(
            "a view of the module {module} on other content, without rows of its own"
        ));
    }
    if opens(connection, name) {
        RowLocation::Own
    } else if is_text_index(module) && opens(connection, &format!("{name}_content")) {
        RowLocation::Elsewhere(format!(
            "a {module} index with a tokenizer that this engine doesn't have; its texts are carried as the table \
             {name}_content"
        ))
    } else {
        RowLocation::Lost(format!("the module {module} is not part of this engine, so its rows can't be read"))
    }
}

impl VirtualTable {
    /// The value of an argument `name=value`, without quotes.
    fn option(&self, name: &str) -> Option<String> {
        self.arguments.iter().find_map(|argument| {
            let (key, value) = argument.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| unquote(value.trim()).0)
        })
    }
}
