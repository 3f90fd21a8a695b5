//! Translates INSERT, UPDATE and DELETE in a trigger's body.

use std::rc::Rc;

use sqlite3_parser::ast::{Expr, Name, QualifiedName, ResolveType, Set, TriggerCmd, Upsert, UpsertDo};

use super::body::{TriggerBody, inner, only_main};
use crate::{
    model::{
        ColumnPlan, TablePlan,
        identifier::{quote_ident, quote_list},
        source_schema::{Affinity, IndexOrigin, SourceTable},
    },
    rules::{
        affinity,
        expression::{TypedExpr, Untranslatable, assigned, refuse, unquote},
        query::{
            from,
            relations::{Relation, placed},
            select,
            select_scope::{AllowedConstructs, FromItem, SelectScope},
        },
    },
};

/// A table that is written to.
struct WrittenTable<'a> {
    plan: &'a TablePlan,
    source: &'a SourceTable,
    relation: Rc<Relation>,
}

impl<'a> WrittenTable<'a> {
    fn of(body: &TriggerBody<'a>, name: &QualifiedName<'_>) -> Result<Self, Untranslatable> {
        only_main(name.db_name.as_ref())?;
        let own = unquote(name.name.0).0;
        let plan = body.tables.plan(&own)?;
        let source = body.tables.schema.tables.iter().find(|table| table.name == plan.source);
        let source = source.ok_or_else(|| refuse("it writes to a table that can't be found"))?;
        Ok(Self { plan, source, relation: body.tables.catalogue.relation(&own)? })
    }

    fn column(&self, name: &str) -> Result<(&'a ColumnPlan, Affinity), Untranslatable> {
        let rowid = self.relation.rowid.filter(|_| self.relation.position(name).is_none());
        let rowid = rowid.filter(|_| crate::rules::query::select_scope::is_rowid(name));
        let found = match rowid.and_then(|at| self.relation.columns.get(at)) {
            Some(column) => self.plan.columns.iter().find(|found| found.source == column.source),
            None => self.plan.columns.iter().find(|found| found.source.eq_ignore_ascii_case(name)),
        };
        let column = found.ok_or_else(|| refuse("it writes to a column that the table doesn't have"))?;
        if column.generated.is_some() {
            return Err(refuse("it writes to a generated column"));
        }
        let declared = self.source.columns.iter().find(|found| found.name == column.source);
        Ok((column, declared.map_or_else(|| affinity::of(&column.declared, false), |found| found.affinity)))
    }
}

/// `UPDATE`.
pub(super) fn update(
    body: &TriggerBody<'_>,
    level: &SelectScope<'_, '_>,
    command: &TriggerCmd<'_>,
) -> Result<String, Untranslatable> {
    let TriggerCmd::Update { or_conflict, tbl_name, sets, from: others, where_clause } = command else {
        return Err(refuse("it is no UPDATE"));
    };
    usual(*or_conflict)?;
    let subject = WrittenTable::of(body, tbl_name)?;
    let rows = SelectScope::new(inner(level))?;
    let alias = rows.add(&shown(tbl_name), Rc::clone(&subject.relation));
    let others = others.as_ref().map(|others| from::clause(&rows, others)).transpose()?;
    let sets = assignments(&rows, &subject, sets)?;
    let mut sql = format!("UPDATE {} AS {alias} SET {}", placed(&subject.relation.home), sets.join(", "));
    if let Some(others) = others {
        sql.push_str(&format!(" FROM {others}"));
    }
    if let Some(condition) = where_clause {
        sql.push_str(&format!(" WHERE {}", rows.condition(condition, AllowedConstructs::default())?));
    }
    Ok(sql + ";")
}

/// `DELETE`.
pub(super) fn delete(
    body: &TriggerBody<'_>,
    level: &SelectScope<'_, '_>,
    command: &TriggerCmd<'_>,
) -> Result<String, Untranslatable> {
    let TriggerCmd::Delete { tbl_name, where_clause } = command else { return Err(refuse("it is no DELETE")) };
    let subject = WrittenTable::of(body, tbl_name)?;
    let rows = SelectScope::new(inner(level))?;
    let alias = rows.add(&shown(tbl_name), Rc::clone(&subject.relation));
    let mut sql = format!("DELETE FROM {} AS {alias}", placed(&subject.relation.home));
    if let Some(condition) = where_clause {
        sql.push_str(&format!(" WHERE {}", rows.condition(condition, AllowedConstructs::default())?));
    }
    Ok(sql + ";")
}

/// `INSERT`.
pub(super) fn insert(
    body: &TriggerBody<'_>,
    level: &SelectScope<'_, '_>,
    command: &TriggerCmd<'_>,
) -> Result<String, Untranslatable> {
    let TriggerCmd::Insert { or_conflict, tbl_name, col_names, select, upsert } = command else {
        return Err(refuse("it is no INSERT"));
    };
    let subject = WrittenTable::of(body, tbl_name)?;
    let names: Vec<String> = match col_names {
        Some(names) => names.iter().map(|name| unquote(name.0).0).collect(),
        None => {
            let visible = subject.source.columns.iter().filter(|column| column.generated.is_none() && !column.hidden);
            visible.map(|column| column.name.clone()).collect()
        }
    };
    let selected = select::select(&inner(level), select)?;
    if selected.columns.len() != names.len() {
        return Err(refuse("it inserts other numbers of values than columns"));
    }
    let alias = crate::rules::query::relations::free_name("q", &mut level.place.statement.taken.borrow_mut());
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    for (name, found) in names.iter().zip(&selected.columns) {
        let (column, affinity) = subject.column(name)?;
        let value = crate::rules::query::relations::under(&alias, &found.operand);
        let numbered = subject.plan.identity.as_ref().is_some_and(|identity| identity.column == column.name);
        // NULL asks for a number, which the default gives.
        if numbered && value.is_null() {
            continue;
        }
        if numbered && !surely_there(&found.operand) {
            return Err(refuse("it inserts a key that may be NULL, for which SQLite gives a number"));
        }
        columns.push(column);
        values.push(assigned(&value, column, affinity)?);
    }
    let list = quote_list(columns.iter().map(|column| column.name.as_str()));
    let target =
        crate::rules::query::relations::free_name(&shown(tbl_name), &mut level.place.statement.taken.borrow_mut());
    let conflict = conflict(level, &subject, &target, *or_conflict, *upsert, &columns)?;
    Ok(format!(
        "INSERT INTO {} AS {target} ({list}) SELECT {} FROM ({}) AS {alias}{conflict};",
        placed(&subject.relation.home),
        values.join(", "),
        selected.sql
    ))
}

/// Whether a value is never NULL, as far as that can be seen.
fn surely_there(operand: &TypedExpr) -> bool {
    operand.origin.is_some() || operand.constant.is_some()
}

fn shown(name: &QualifiedName<'_>) -> String {
    let name: &Name<'_> = name.alias.as_ref().unwrap_or(&name.name);
    unquote(name.0).0
}

fn assignments(
    rows: &SelectScope<'_, '_>,
    subject: &WrittenTable<'_>,
    sets: &[Set<'_>],
) -> Result<Vec<String>, Untranslatable> {
    let one = |set: &Set<'_>| {
        let [name] = set.col_names.as_slice() else { return Err(refuse("row values are assigned")) };
        let (column, affinity) = subject.column(&unquote(name.0).0)?;
        let value = assigned(&rows.operand(&set.expr, AllowedConstructs::default())?, column, affinity)?;
        Ok(format!("{} = {value}", quote_ident(&column.name)))
    };
    sets.iter().map(one).collect()
}

fn usual(conflict: Option<ResolveType>) -> Result<(), Untranslatable> {
    match conflict {
        None | Some(ResolveType::Abort) => Ok(()),
        Some(_) => Err(refuse("it resolves conflicts of an UPDATE, which PostgreSQL can't")),
    }
}

/// ON CONFLICT.
fn conflict(
    level: &SelectScope<'_, '_>,
    subject: &WrittenTable<'_>,
    target: &str,
    how: Option<ResolveType>,
    upsert: Option<&Upsert<'_>>,
    columns: &[&ColumnPlan],
) -> Result<String, Untranslatable> {
    match (how, upsert) {
        (None | Some(ResolveType::Abort), None) => Ok(String::new()),
        (None | Some(ResolveType::Abort), Some(upsert)) => upserted(level, subject, target, upsert),
        (Some(ResolveType::Ignore), None) => Ok(" ON CONFLICT DO NOTHING".to_owned()),
        (Some(ResolveType::Replace), None) => replaced(subject, columns),
        _ => Err(refuse("it resolves conflicts in a way that PostgreSQL doesn't have")),
    }
}

/// The row is replaced as a whole: columns that are not named get their defaults.
fn replaced(subject: &WrittenTable<'_>, named: &[&ColumnPlan]) -> Result<String, Untranslatable> {
    let created = subject.source.indexes.iter().any(|index| index.unique && index.origin == IndexOrigin::Created);
    let keys: Vec<&Vec<String>> =
        subject.plan.primary_key.iter().chain(&subject.plan.uniques).map(|key| &key.columns).collect();
    let ([key], false) = (keys.as_slice(), created) else {
        return Err(refuse("INSERT OR REPLACE into a table without exactly one key"));
    };
    let mut sets = Vec::new();
    for column in subject.plan.columns.iter().filter(|column| !key.contains(&column.name) && column.generated.is_none())
    {
        let name = quote_ident(&column.name);
        let is_named = named.iter().any(|found| found.name == column.name);
        sets.push(if is_named { format!("{name} = EXCLUDED.{name}") } else { format!("{name} = DEFAULT") });
    }
    let key = quote_list(key.iter().map(String::as_str));
    Ok(if sets.is_empty() {
        format!(" ON CONFLICT ({key}) DO NOTHING")
    } else {
        format!(" ON CONFLICT ({key}) DO UPDATE SET {}", sets.join(", "))
    })
}

fn upserted(
    level: &SelectScope<'_, '_>,
    subject: &WrittenTable<'_>,
    target: &str,
    upsert: &Upsert<'_>,
) -> Result<String, Untranslatable> {
    if upsert.next.is_some() {
        return Err(refuse("it has several ON CONFLICT clauses"));
    }
    let mut sql = " ON CONFLICT".to_owned();
    if let Some(index) = &upsert.index {
        let mut names = Vec::new();
        for term in index.targets {
            let (Expr::Id(_) | Expr::Name(_)) = &term.expr else {
                return Err(refuse("ON CONFLICT names an expression"));
            };
            let (Expr::Id(sqlite3_parser::ast::Id(raw)) | Expr::Name(Name(raw))) = &term.expr else {
                return Err(refuse("ON CONFLICT names an expression"));
            };
            names.push(subject.column(&unquote(raw).0)?.0.name.clone());
        }
        if index.where_clause.is_some() {
            return Err(refuse("ON CONFLICT names a partial index"));
        }
        sql.push_str(&format!(" ({})", quote_list(names.iter().map(String::as_str))));
    }
    match &upsert.do_clause {
        UpsertDo::Nothing => Ok(sql + " DO NOTHING"),
        UpsertDo::Set { .. } if upsert.index.is_none() => Err(refuse("ON CONFLICT DO UPDATE names no key")),
        UpsertDo::Set { sets, where_clause } => {
            let rows = SelectScope::new(inner(level))?;
            let own = FromItem::new(subject.plan.source.clone(), target.to_owned(), Rc::clone(&subject.relation));
            let mut excluded =
                FromItem::new("excluded".to_owned(), "EXCLUDED".to_owned(), Rc::clone(&subject.relation));
            excluded.only_qualified = true;
            rows.sources.borrow_mut().extend([own, excluded]);
            sql.push_str(&format!(" DO UPDATE SET {}", assignments(&rows, subject, sets)?.join(", ")));
            if let Some(condition) = where_clause {
                sql.push_str(&format!(" WHERE {}", rows.condition(condition, AllowedConstructs::default())?));
            }
            Ok(sql)
        }
    }
}
