//! Translates `UPDATE table SET column = ... WHERE key = NEW.key` in a trigger of that table: the row itself is changed
//! before it is stored.

use std::rc::Rc;

use sqlite3_parser::ast::{Expr, Operator, TriggerCmd};

use super::body::TriggerBody;
use crate::{
    model::{identifier::quote_ident, view_trigger_plan::Timing},
    rules::{
        affinity,
        expression::{Untranslatable, assigned, refuse, unquote},
        query::select_scope::{AllowedConstructs, FromItem, SelectScope, StatementContext, is_rowid},
    },
};

/// Whether the trigger does nothing but change its own row.
pub(super) fn is_all(body: &TriggerBody<'_>, commands: &[TriggerCmd<'_>]) -> bool {
    body.event != "DELETE" && !commands.is_empty() && commands.iter().all(|command| is_one(body, command))
}

fn is_one(body: &TriggerBody<'_>, command: &TriggerCmd<'_>) -> bool {
    let TriggerCmd::Update { or_conflict: None, tbl_name, from: None, where_clause: Some(condition), .. } = command
    else {
        return false;
    };
    tbl_name.db_name.is_none()
        && tbl_name.alias.is_none()
        && unquote(tbl_name.name.0).0.eq_ignore_ascii_case(body.table)
        && is_own_key(body, condition)
}

/// `rowid = NEW.rowid`, or the same for a key of one column.
fn is_own_key(body: &TriggerBody<'_>, condition: &Expr<'_>) -> bool {
    let (one, other) = match condition {
        Expr::Parenthesized(inner) => {
            return match inner.as_slice() {
                [inner] => is_own_key(body, inner),
                _ => false,
            };
        }
        Expr::Binary(one, Operator::Equals | Operator::Is, other) => (one, other),
        _ => return false,
    };
    let pair = |own: &Expr<'_>, new: &Expr<'_>| {
        let own = match own {
            Expr::Id(id) => unquote(id.0).0,
            Expr::Name(name) => unquote(name.0).0,
            Expr::Qualified(table, name) if unquote(table.0).0.eq_ignore_ascii_case(body.table) => unquote(name.0).0,
            _ => return false,
        };
        let Expr::Qualified(row, new) = new else { return false };
        let (row, new) = (unquote(row.0).0, unquote(new.0).0);
        // OLD's key is that of the row too, unless the key is what changes.
        row.eq_ignore_ascii_case("NEW") && own.eq_ignore_ascii_case(&new) && is_key(body, &own)
    };
    pair(one, other) || pair(other, one)
}

fn is_key(body: &TriggerBody<'_>, name: &str) -> bool {
    let relation = body.relation;
    let position = relation.position(name).or(relation.rowid.filter(|_| is_rowid(name)));
    position.is_some_and(|position| relation.keys.iter().any(|key| *key == [position]))
}

/// `NEW.column := value` for each column.
pub(super) fn changes(
    body: &TriggerBody<'_>,
    statement: &StatementContext<'_>,
    commands: &[TriggerCmd<'_>],
) -> Result<Vec<String>, Untranslatable> {
    let plan = body.tables.plan(body.table)?;
    let source = body.tables.schema.tables.iter().find(|table| table.name == plan.source);
    let level: SelectScope<'_, '_> = body.rows(statement, Timing::Before)?;
    // Columns without a table are those of the row.
    let row = FromItem::new(body.table.to_owned(), "NEW".to_owned(), Rc::clone(&body.stored_only()));
    level.sources.borrow_mut().push(row);
    let mut lines = Vec::new();
    for command in commands {
        let TriggerCmd::Update { sets, .. } = command else { return Err(refuse("it is no UPDATE")) };
        let mut values = Vec::new();
        for set in *sets {
            let [name] = set.col_names.as_slice() else { return Err(refuse("row values are assigned")) };
            let name = unquote(name.0).0;
            let column = plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(&name));
            let column = column.ok_or_else(|| refuse("it sets a column that the table doesn't have"))?;
            let declared = source.and_then(|source| source.columns.iter().find(|found| found.name == column.source));
            let affinity = declared.map_or_else(|| affinity::of(&column.declared, false), |found| found.affinity);
            let operand = level.operand(&set.expr, AllowedConstructs::default())?;
            let value = assigned(&operand, column, affinity)?;
            // The row isn't in its table yet.
            if reads(&value, &plan.name) {
                return Err(refuse("it reads the table that it changes"));
            }
            values.push((quote_ident(&column.name), value));
        }
        // All values come from the row as it was.
        if values.len() > 1 {
            let (columns, values): (Vec<String>, Vec<String>) = values.into_iter().unzip();
            let targets: Vec<String> = columns.iter().map(|column| format!("NEW.{column}")).collect();
            lines.push(format!("SELECT {} INTO {};", values.join(", "), targets.join(", ")));
        } else {
            lines.extend(values.into_iter().map(|(column, value)| format!("NEW.{column} := {value};")));
        }
    }
    Ok(lines)
}

/// Whether the SQL names this relation of the plan.
fn reads(sql: &str, name: &str) -> bool {
    sql.contains(&format!("\0{name}\0"))
}
