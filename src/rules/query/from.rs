//! Translates FROM: tables, subqueries and joins. Commas become CROSS JOIN, because a comma binds weaker than JOIN in
//! PostgreSQL and not in SQLite; USING and NATURAL become ON, because a merged column follows SQLite's affinities.

use std::rc::Rc;

use sqlite3_parser::ast::{As, FromClause, JoinConstraint, JoinOperator, JoinType, JoinedSelectTable, SelectTable};

use super::{
    relations::{Relation, placed},
    select,
    select_scope::{AllowedConstructs, ScopeContext, SelectScope},
};
use crate::rules::expression::{Comparison, NameScope, TypedExpr, Untranslatable, compare, refuse, unify, unquote};

/// The clause without the word FROM. Adds the tables to the level.
pub(in crate::rules) fn clause<'b>(
    level: &SelectScope<'_, 'b>,
    from: &FromClause<'b>,
) -> Result<String, Untranslatable> {
    let first = from.select.ok_or_else(|| refuse("its FROM can't be read"))?;
    let mut sql = table(level, first)?;
    for join in from.joins.iter().flatten() {
        let before = level.sources.borrow().len();
        let right = table(level, &join.table)?;
        let condition = condition(level, join, before)?;
        let words = words(join.operator, condition.is_some());
        sql = format!("{sql} {words} {right}");
        match condition {
            Some(condition) => sql.push_str(&format!(" ON {condition}")),
            None if words != "CROSS JOIN" => sql.push_str(" ON true"),
            None => {}
        }
    }
    Ok(sql)
}

fn table<'b>(level: &SelectScope<'_, 'b>, found: &SelectTable<'b>) -> Result<String, Untranslatable> {
    match found {
        SelectTable::Table(name, alias, _) => {
            let own = unquote(name.name.0).0;
            let relation = relation(&level.place, name.db_name.as_ref().map(|schema| unquote(schema.0).0), &own)?;
            let shown = alias.as_ref().map_or(own, alias_name);
            let alias = level.add(&shown, Rc::clone(&relation));
            Ok(format!("{} AS {alias}", placed(&relation.home)))
        }
        SelectTable::TableCall(name, ..) => {
            let name = unquote(name.name.0).0;
            Err(refuse(format!("the table function {name} has no exact equivalent")))
        }
        SelectTable::Select(inner, alias) => {
            // A subquery in FROM sees what is around the SELECT, not the tables beside it.
            let place = ScopeContext { depth: level.place.depth + 2, ..level.place.clone() };
            let selected = select::select(&place, inner)?;
            let sql = selected.sql.clone();
            let shown = alias.as_ref().map_or(String::new(), alias_name);
            let alias = level.add(&shown, Rc::new(selected.relation()));
            Ok(format!("({sql}) AS {alias}"))
        }
        SelectTable::Sub(inner, None) => Ok(format!("({})", clause(level, inner)?)),
        SelectTable::Sub(_, Some(_)) => Err(refuse("a join in parentheses has a name of its own")),
    }
}

fn alias_name(alias: &As<'_>) -> String {
    match alias {
        As::As(name) | As::Elided(name) => unquote(name.0).0,
    }
}

/// A WITH of the statement, or a table or view of the schema.
pub(in crate::rules) fn relation(
    place: &ScopeContext<'_>,
    schema: Option<String>,
    name: &str,
) -> Result<Rc<Relation>, Untranslatable> {
    match schema {
        Some(schema) if schema.eq_ignore_ascii_case("main") => return place.statement.catalogue.relation(name),
        Some(_) => return Err(refuse("it reads another database")),
        None => {}
    }
    let with = place.withs.iter().rev().find(|(with, _)| with.eq_ignore_ascii_case(name));
    with.map_or_else(|| place.statement.catalogue.relation(name), |(_, relation)| Ok(Rc::clone(relation)))
}

fn words(operator: JoinOperator, conditional: bool) -> &'static str {
    let kind = match operator {
        JoinOperator::Comma | JoinOperator::TypedJoin(None) => JoinType::INNER,
        JoinOperator::TypedJoin(Some(kind)) => kind,
    };
    match (kind.contains(JoinType::LEFT), kind.contains(JoinType::RIGHT)) {
        (true, true) => "FULL JOIN",
        (true, false) => "LEFT JOIN",
        (false, true) => "RIGHT JOIN",
        (false, false) if conditional => "JOIN",
        (false, false) => "CROSS JOIN",
    }
}

/// The condition of a join whose right side begins at this source.
fn condition<'b>(
    level: &SelectScope<'_, 'b>,
    join: &JoinedSelectTable<'b>,
    right: usize,
) -> Result<Option<String>, Untranslatable> {
    let names = match (&join.constraint, join.operator) {
        (Some(JoinConstraint::On(condition)), _) => {
            return level.condition(condition, AllowedConstructs::default()).map(Some);
        }
        (Some(JoinConstraint::Using(names)), _) => names.iter().map(|name| unquote(name.0).0).collect(),
        (None, JoinOperator::TypedJoin(Some(kind))) if kind.contains(JoinType::NATURAL) => common(level, right),
        (None, _) => return Ok(None),
    };
    if names.is_empty() {
        return Ok(None);
    }
    let kind = match join.operator {
        JoinOperator::TypedJoin(Some(kind)) => kind,
        JoinOperator::TypedJoin(None) | JoinOperator::Comma => JoinType::INNER,
    };
    let mut conditions = Vec::new();
    for name in names {
        conditions.push(merge(level, &name, right, kind.contains(JoinType::RIGHT))?);
    }
    Ok(Some(conditions.join(" AND ")))
}

/// Names of columns that both sides have.
fn common(level: &SelectScope<'_, '_>, right: usize) -> Vec<String> {
    let sources = level.sources.borrow();
    let (left, right) = sources.split_at(right.min(sources.len()));
    let has = |name: &str| left.iter().any(|source| source.relation.position(name).is_some());
    let names = right.iter().flat_map(|source| &source.relation.columns).map(|column| column.source.clone());
    names.filter(|name| has(name)).collect()
}

/// Makes one column of the two of this name, and says when they are equal.
fn merge(level: &SelectScope<'_, '_>, name: &str, right: usize, fills_left: bool) -> Result<String, Untranslatable> {
    let places: Vec<(usize, usize)> = {
        let sources = level.sources.borrow();
        let visible = sources.iter().enumerate().filter_map(|(at, source)| {
            let column = source.relation.position(name)?;
            (!source.hidden.contains(&column)).then_some((at, column))
        });
        visible.collect()
    };
    let (before, after): (Vec<_>, Vec<_>) = places.into_iter().partition(|(at, _)| *at < right);
    let ([one], [other]) = (before.as_slice(), after.as_slice()) else {
        return Err(refuse("USING names a column that one side doesn't have, or has twice"));
    };
    let before = level.state.replace(AllowedConstructs::default());
    let sides = level.column(one.0, one.1).and_then(|left| Ok((left, level.column(other.0, other.1)?)));
    level.state.set(before);
    let (left, other_side) = sides?;
    let equal = compare(&NameScope::of_query(level), Comparison::Equals, &left, &other_side)?.condition()?;
    let mut sources = level.sources.borrow_mut();
    if let Some(source) = sources.get_mut(other.0) {
        source.hidden.insert(other.1);
    }
    if fills_left && let Some(source) = sources.get_mut(one.0) {
        let (branches, kind, narrow) = unify(&[left.clone().plain(), other_side.plain()])?;
        let merged = TypedExpr::atom(format!("coalesce({})", branches.join(", ")), kind);
        let merged = TypedExpr { narrow, collation: left.collation, affinity: left.affinity, ..merged };
        source.merged.insert(one.1, merged);
    }
    Ok(equal)
}
