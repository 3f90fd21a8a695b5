//! Translates views, each after those that it reads.

use std::collections::{BTreeMap, BTreeSet};

use sqlite3_parser::{ast::Stmt, lexer::sql::TokenType};

use super::{
    projection::emitted,
    relations::{Relation, RelationColumn, RelationName, Relations},
    select,
    select_scope::{CteList, ScopeContext, StatementContext},
};
use crate::{
    model::{
        TablePlan,
        identifier::quote_ident,
        overrides::Identifiers,
        source_schema::{SourceObject, SourceSchema},
        view_trigger_plan::{Fragment, Piece, ViewColumn, ViewPlan},
    },
    rules::{
        expression::{TypedExpr, Untranslatable, refuse, tokens, unquote, with_statement},
        identifiers,
    },
};

/// Tokens of a statement, beyond which it is not looked at.
const TOKENS_MAX: usize = 50_000;

/// An object that has no exact equivalent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntranslatedObject {
    /// SQLite's name.
    pub name: String,
    /// Why, as a clause.
    pub reason: String,
}

/// What became of the views.
#[derive(Debug)]
pub struct TranslatedViews {
    /// Those that are translated, each after those that it reads.
    pub made: Vec<ViewPlan>,
    /// The others, in the source's order.
    pub lost: Vec<UntranslatedObject>,
    pub(in crate::rules) catalogue: Relations,
}

/// Translates all views. `names` are the PostgreSQL names of views, by SQLite's.
#[must_use]
pub fn views(
    schema: &SourceSchema,
    tables: &[TablePlan],
    names: &BTreeMap<String, String>,
    identifiers: Identifiers,
) -> TranslatedViews {
    let mut found = TranslatedViews { made: Vec::new(), lost: Vec::new(), catalogue: Relations::new(schema, tables) };
    for view in in_order(&schema.views) {
        let name = names.get(&view.name).cloned().unwrap_or_else(|| view.name.clone());
        match translated(&found.catalogue, view, &name, identifiers) {
            Ok((plan, relation)) => {
                found.catalogue.add(&view.name, relation);
                found.made.push(plan);
            }
            Err(refused) => found.lost.push(UntranslatedObject { name: view.name.clone(), reason: refused.reason }),
        }
    }
    let position = |name: &str| schema.views.iter().position(|view| view.name == name);
    found.lost.sort_by_key(|lost| position(&lost.name));
    found
}

/// The views, each after those whose names stand in its SQL.
fn in_order(views: &[SourceObject]) -> Vec<&SourceObject> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for start in views {
        // A stack of its own: views may read each other in chains of any length.
        let mut open = vec![(start, false)];
        while let Some((view, done)) = open.pop() {
            if done {
                order.push(view);
            } else if seen.insert(view.name.to_ascii_lowercase()) {
                open.push((view, true));
                let named = names_in(&view.sql);
                let read = views.iter().filter(|other| named.contains(&other.name.to_ascii_lowercase()));
                open.extend(read.map(|other| (other, false)));
            }
        }
    }
    order
}

/// Every identifier of a statement, in lower case.
fn names_in(sql: &str) -> BTreeSet<String> {
    let spans = tokens(sql).unwrap_or_default();
    spans
        .iter()
        .filter_map(|(_, start, end)| sql.get(*start..*end))
        .map(|raw| unquote(raw).0.to_ascii_lowercase())
        .collect()
}

fn translated(
    catalogue: &Relations,
    view: &SourceObject,
    name: &str,
    identifiers: Identifiers,
) -> Result<(ViewPlan, Relation), Untranslatable> {
    if view.columns.is_empty() {
        return Err(refuse("SQLite itself can't read it"));
    }
    let comma_limits = readable(&view.sql)?;
    let selected = with_statement(&view.sql, |statement| {
        let Stmt::CreateView { select, .. } = statement else { return Err(refuse("its SQL is no CREATE VIEW")) };
        let statement = StatementContext::new(catalogue, comma_limits);
        let place = ScopeContext { statement: &statement, parent: None, withs: CteList::default(), depth: 0 };
        select::select(&place, select)
    });
    let selected = selected.unwrap_or_else(|reason| Err(refuse(reason)))?;
    if selected.columns.len() != view.columns.len() {
        return Err(refuse("it has other columns than SQLite says"));
    }
    let wanted: Vec<&str> = view.columns.iter().map(String::as_str).collect();
    let named = identifiers::columns(&wanted, identifiers);
    let mut columns = Vec::new();
    let mut shown = Vec::new();
    for ((source, name), column) in view.columns.iter().zip(named).zip(&selected.columns) {
        let operand = emitted(&column.operand)?;
        let (pg_type, conversion) = operand.origin.clone().ok_or_else(|| refuse("a column has no type"))?;
        let by_name = TypedExpr { sql: quote_ident(&name.name), atomic: true, ..operand };
        shown.push(RelationColumn { source: source.clone(), operand: by_name });
        columns.push(ViewColumn { source: source.clone(), name: name.name, pg_type, conversion });
    }
    let home = RelationName::Plan(name.to_owned());
    let relation = Relation { home, columns: shown, keys: Vec::new(), rows: selected.rows, rowid: None };
    let (source, sql) = (view.name.clone(), view.sql.clone());
    let query = fragment(&selected.sql)?;
    Ok((ViewPlan { source, name: name.to_owned(), columns, query, sql }, relation))
}

/// Whether a statement can be looked at, and whether its LIMITs are written with a comma.
pub(in crate::rules) fn readable(sql: &str) -> Result<bool, Untranslatable> {
    if sql.contains('\0') {
        return Err(refuse("its SQL has a NUL character"));
    }
    let spans = tokens(sql).ok_or_else(|| refuse("its SQL has a token that can't be read"))?;
    if spans.len() > TOKENS_MAX {
        return Err(refuse("it is too long"));
    }
    let (mut commas, mut offsets) = (0, 0);
    for (at, (kind, ..)) in spans.iter().enumerate() {
        if *kind != TokenType::TK_LIMIT {
            continue;
        }
        match after_limit(spans.get(at + 1..).unwrap_or_default()) {
            Some(TokenType::TK_COMMA) => commas += 1,
            Some(_) => offsets += 1,
            None => {}
        }
    }
    if commas > 0 && offsets > 0 {
        return Err(refuse("it has LIMITs with a comma and with OFFSET"));
    }
    Ok(commas > 0)
}

/// The comma or OFFSET that belongs to a LIMIT.
fn after_limit(spans: &[(TokenType, usize, usize)]) -> Option<TokenType> {
    let mut open = 0_usize;
    for (kind, ..) in spans {
        if *kind == TokenType::TK_LP {
            open += 1;
        } else if *kind == TokenType::TK_RP {
            open = open.checked_sub(1)?;
        } else if open == 0 && (*kind == TokenType::TK_COMMA || *kind == TokenType::TK_OFFSET) {
            return Some(*kind);
        }
    }
    None
}

/// SQL with marked places as pieces.
pub(in crate::rules) fn fragment(sql: &str) -> Result<Fragment, Untranslatable> {
    let mut pieces = Vec::new();
    for (at, part) in sql.split('\0').enumerate() {
        let part = part.to_owned();
        pieces.push(if at % 2 == 0 { Piece::Sql(part) } else { Piece::Relation(part) });
    }
    if pieces.len() % 2 == 0 {
        return Err(refuse("its SQL can't be put together"));
    }
    Ok(Fragment::new(pieces))
}
