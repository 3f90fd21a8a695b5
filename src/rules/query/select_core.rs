//! Translates one SELECT without WITH, ORDER BY and LIMIT: results, FROM, WHERE, GROUP BY, HAVING.

use std::collections::BTreeSet;

use sqlite3_parser::ast::{As, Distinctness, Expr, Literal, OneSelect, ResultColumn, SortedColumn};

use super::{
    from, order_by,
    projection::{OutputColumn, same_when_equal},
    select_scope::{AllowedConstructs, ScopeContext, SelectScope},
};
use crate::{
    model::PgType,
    rules::expression::{TypedExpr, Untranslatable, refuse, unquote},
};

/// The parts of a SELECT.
#[derive(Debug, Clone)]
pub(super) struct SelectCore {
    pub distinct: bool,
    pub outputs: Vec<OutputColumn>,
    /// ` FROM ...` to the end of HAVING.
    pub tail: String,
    /// The terms of ORDER BY.
    pub order: Vec<String>,
    /// At most so many rows.
    pub rows: u64,
    /// At most one row.
    pub single: bool,
}

impl SelectCore {
    /// The SELECT with these values under these names, without ORDER BY.
    pub(super) fn sql(&self, operands: &[TypedExpr], names: &[String]) -> String {
        let list: Vec<String> =
            operands.iter().zip(names).map(|(operand, name)| format!("{} AS {name}", operand.sql)).collect();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        format!("SELECT {distinct}{}{}", list.join(", "), self.tail)
    }
}

/// A SELECT, or each row of VALUES.
pub(super) fn rows(place: &ScopeContext<'_>, select: &OneSelect<'_>) -> Result<Vec<SelectCore>, Untranslatable> {
    let OneSelect::Values(rows) = select else { return Ok(vec![core(place, select, &[], false)?]) };
    let mut cores = Vec::new();
    for row in rows {
        let level = SelectScope::new(place.clone())?;
        let mut outputs = Vec::new();
        for (at, expression) in row.iter().enumerate() {
            let operand = level.operand(expression, AllowedConstructs::default())?;
            outputs.push(OutputColumn { name: format!("column{}", at + 1), operand });
        }
        let (tail, order) = (String::new(), Vec::new());
        cores.push(SelectCore { distinct: false, outputs, tail, order, rows: 1, single: true });
    }
    Ok(cores)
}

/// A result as it is written: its name, and its expression unless it is a star.
pub(super) fn written<'b>(column: &'b ResultColumn<'b>) -> (String, Option<&'b Expr<'b>>) {
    match column {
        ResultColumn::Expr(expression, alias) => (name(expression, alias.as_ref()), Some(expression)),
        ResultColumn::Star | ResultColumn::TableStar(_) => (String::new(), None),
    }
}

fn name(expression: &Expr<'_>, alias: Option<&As<'_>>) -> String {
    match (alias, expression) {
        (Some(As::As(name) | As::Elided(name)), _) => unquote(name.0).0,
        (None, Expr::Id(id)) => unquote(id.0).0,
        (None, Expr::Name(name) | Expr::Qualified(_, name) | Expr::DoublyQualified(_, _, name)) => unquote(name.0).0,
        (None, other) => other.to_string(),
    }
}

/// Where results stand, and the other clauses that follow grouping.
const GROUPED: AllowedConstructs = AllowedConstructs { aliases: false, aggregates: true, windows: true, notes: true };

/// Translates a SELECT with its ORDER BY. `exact`: the order decides which rows there are.
pub(super) fn core<'b>(
    place: &ScopeContext<'_>,
    select: &OneSelect<'b>,
    terms: &[SortedColumn<'b>],
    exact: bool,
) -> Result<SelectCore, Untranslatable> {
    let OneSelect::Select { distinctness, columns, from, where_clause, group_by, having, window_clause } = select
    else {
        return Err(refuse("its SQL can't be read"));
    };
    let level = SelectScope::new(place.clone())?;
    let mut tail = String::new();
    if let Some(from) = from {
        tail.push_str(&format!(" FROM {}", from::clause(&level, from)?));
    }
    for column in *columns {
        if let ResultColumn::Expr(expression, Some(As::As(name) | As::Elided(name))) = column {
            level.results.borrow_mut().push((unquote(name.0).0, expression));
        }
    }
    for window in window_clause.unwrap_or_default() {
        level.windows.borrow_mut().push((unquote(window.name.0).0, &window.window));
    }
    let inside = AllowedConstructs { aliases: true, ..AllowedConstructs::default() };
    if let Some(condition) = where_clause {
        tail.push_str(&format!(" WHERE {}", level.condition(condition, inside)?));
    }
    let groups = groups(&level, columns, group_by.unwrap_or_default())?;
    let outputs = results(&level, columns)?;
    let condition =
        having.map(|having| level.condition(having, AllowedConstructs { aliases: true, ..GROUPED })).transpose()?;
    let order = terms
        .iter()
        .map(|term| {
            let operand = order_by::value(&level, term, &outputs, AllowedConstructs { aliases: true, ..GROUPED })?;
            order_by::term(&operand, term, place.statement.catalogue.utf8, exact)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let grouped = group_by.is_some_and(|groups| !groups.is_empty());
    if grouped || level.aggregated.get() {
        let keys = all_groups(&level, &groups)?;
        if grouped {
            tail.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        }
    }
    if let Some(condition) = condition {
        tail.push_str(&format!(" HAVING {condition}"));
    }
    let sources = level.sources.borrow();
    let single = !grouped && (level.aggregated.get() || from.is_none());
    let rows = sources.iter().fold(1_u64, |rows, source| rows.saturating_mul(source.relation.rows.max(1)));
    let distinct = *distinctness == Some(Distinctness::Distinct);
    Ok(SelectCore { distinct, outputs, tail, order, rows: if single { 1 } else { rows }, single })
}

/// What is grouped by.
fn groups<'b>(
    level: &SelectScope<'_, 'b>,
    columns: &'b [ResultColumn<'b>],
    group_by: &'b [Expr<'b>],
) -> Result<Vec<TypedExpr>, Untranslatable> {
    let mut keys = Vec::new();
    for expression in group_by {
        let expression = result_of(expression, columns).unwrap_or(expression);
        let operand = level.operand(expression, AllowedConstructs { aliases: true, ..AllowedConstructs::default() })?;
        operand.uncollated()?;
        same_when_equal(&operand)?;
        level.groups.borrow_mut().push(expression);
        // An alias stands for what it names.
        if let Expr::Id(id) = expression {
            let name = unquote(id.0).0;
            let named = level.result(&name).filter(|_| level.visible(&name).is_empty());
            level.groups.borrow_mut().extend(named);
        }
        keys.push(operand);
    }
    Ok(keys)
}

/// The result that a number means.
fn result_of<'b>(expression: &Expr<'b>, columns: &'b [ResultColumn<'b>]) -> Option<&'b Expr<'b>> {
    let Expr::Literal(Literal::Numeric(token)) = expression else { return None };
    match columns.get(token.parse::<usize>().ok()?.checked_sub(1)?)? {
        ResultColumn::Expr(expression, _) => Some(expression),
        ResultColumn::Star | ResultColumn::TableStar(_) => None,
    }
}

fn results<'b>(
    level: &SelectScope<'_, 'b>,
    columns: &'b [ResultColumn<'b>],
) -> Result<Vec<OutputColumn>, Untranslatable> {
    let mut outputs = Vec::new();
    for column in columns {
        match column {
            ResultColumn::Expr(expression, alias) => {
                let operand = level.operand(expression, GROUPED)?;
                // COLLATE of a result counts where the result is compared.
                operand.uncollated()?;
                outputs.push(OutputColumn { name: name(expression, alias.as_ref()), operand });
            }
            ResultColumn::Star => star(level, None, &mut outputs)?,
            ResultColumn::TableStar(table) => star(level, Some(&unquote(table.0).0), &mut outputs)?,
        }
    }
    Ok(outputs)
}

/// The columns of all tables, or of one.
fn star(
    level: &SelectScope<'_, '_>,
    table: Option<&str>,
    outputs: &mut Vec<OutputColumn>,
) -> Result<(), Untranslatable> {
    let mut places = Vec::new();
    for (at, source) in level.sources.borrow().iter().enumerate() {
        let wanted = table.is_none_or(|table| source.name.eq_ignore_ascii_case(table)) && !source.only_qualified;
        let columns = source.relation.columns.iter().enumerate().filter(|_| wanted);
        // What USING merged shows once, unless the table is named.
        let columns = columns.filter(|(column, _)| table.is_some() || !source.hidden.contains(column));
        places.extend(columns.map(|(column, found)| (at, column, found.source.clone())));
    }
    if places.is_empty() {
        return Err(refuse("a star stands for no table"));
    }
    let before = level.state.replace(GROUPED);
    for (source, column, name) in places {
        let found = if table.is_some() { level.column(source, column) } else { level.merged(source, column) };
        outputs.extend(found.as_ref().ok().map(|operand| OutputColumn { name, operand: operand.clone() }));
        if let Err(refused) = found {
            level.state.set(before);
            return Err(refused);
        }
    }
    level.state.set(before);
    Ok(())
}

/// The keys of GROUP BY, with the columns that follow from them: those of a table whose key is grouped by.
fn all_groups(level: &SelectScope<'_, '_>, groups: &[TypedExpr]) -> Result<Vec<String>, Untranslatable> {
    let grouped: BTreeSet<String> = groups.iter().map(|group| group.sql.clone()).collect();
    let mut keys: Vec<String> = groups.iter().filter(|group| group.constant.is_none()).map(TypedExpr::arg).collect();
    if keys.is_empty() && !groups.is_empty() {
        return Err(refuse("it groups by constants"));
    }
    let sources = level.sources.borrow();
    for used in level.uses.borrow().iter() {
        if grouped.contains(&used.operand.sql) || keys.contains(&used.operand.sql) {
            continue;
        }
        let follows = sources.get(used.source).is_some_and(|source| {
            let key_column = |column: &usize| {
                let operand = source.relation.columns.get(*column).map(|column| &column.operand);
                operand.is_some_and(|operand| grouped.contains(&super::relations::under(&source.alias, operand).sql))
            };
            source.merged.is_empty()
                && source.relation.keys.iter().any(|key| !key.is_empty() && key.iter().all(key_column))
        });
        let comparable = used.operand.origin.as_ref().is_none_or(|(pg_type, _)| *pg_type != PgType::Json);
        if !follows || !comparable {
            return Err(refuse("it selects a column that is neither grouped nor in an aggregate"));
        }
        keys.push(used.operand.sql.clone());
    }
    Ok(keys)
}
