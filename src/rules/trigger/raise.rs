//! Translates `SELECT RAISE(...) WHERE condition` and `SELECT CASE WHEN condition THEN RAISE(...) END`: the only
//! SELECTs of a trigger that do anything.

use sqlite3_parser::ast::{Expr, OneSelect, ResolveType, ResultColumn, Select};

use super::body::{TriggerBody, inner};
use crate::{
    model::view_trigger_plan::Timing,
    rules::{
        expression::{Untranslatable, refuse},
        query::{
            from,
            select_scope::{AllowedConstructs, SelectScope},
        },
    },
};

/// The statements of one SELECT.
pub(super) fn lines(
    body: &TriggerBody<'_>,
    level: &SelectScope<'_, '_>,
    select: &Select<'_>,
) -> Result<Vec<String>, Untranslatable> {
    let other = || refuse("a SELECT of it does something else than RAISE");
    let OneSelect::Select { columns, from, where_clause, group_by: None, having: None, .. } = &select.body.select
    else {
        return Err(other());
    };
    if select.with.is_some() || select.limit.is_some() || select.body.compounds.is_some() {
        return Err(other());
    }
    let [ResultColumn::Expr(result, _)] = *columns else { return Err(other()) };
    let rows = SelectScope::new(inner(level))?;
    let tables = from.as_ref().map(|from| from::clause(&rows, from)).transpose()?;
    let wanted = where_clause.map(|condition| rows.condition(condition, AllowedConstructs::default())).transpose()?;
    let mut lines = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for (case, raised) in cases(result).ok_or_else(other)? {
        let case = case.map(|case| rows.condition(case, AllowedConstructs::default())).transpose()?;
        if let Some(raised) = raised {
            let mut conditions: Vec<String> = wanted.iter().cloned().collect();
            conditions.extend(others.iter().map(|before| format!("({before}) IS NOT TRUE")));
            conditions.extend(case.clone());
            let action = action(body, &rows, raised)?;
            let conditions: Vec<String> = conditions.iter().map(|one| format!("({one})")).collect();
            lines.push(match (&tables, conditions.as_slice()) {
                (None, []) => action,
                (None, conditions) => format!("IF {} THEN\n    {action}\n  END IF;", conditions.join(" AND ")),
                (Some(tables), conditions) => {
                    let filter = if conditions.is_empty() {
                        String::new()
                    } else {
                        format!(" WHERE {}", conditions.join(" AND "))
                    };
                    format!("IF EXISTS (SELECT FROM {tables}{filter}) THEN\n    {action}\n  END IF;")
                }
            });
        }
        others.extend(case);
    }
    Ok(lines)
}

/// When what is raised.
type RaiseCases<'e, 'b> = Vec<(Option<&'e Expr<'b>>, Option<&'e Expr<'b>>)>;

fn cases<'e, 'b>(result: &'e Expr<'b>) -> Option<RaiseCases<'e, 'b>> {
    match result {
        Expr::Raise(..) => Some(vec![(None, Some(result))]),
        Expr::Parenthesized(inner) => match inner.as_slice() {
            [inner] => cases(inner),
            _ => None,
        },
        Expr::Case { base: None, when_then_pairs, else_expr } => {
            let raised = |expression: &'e Expr<'b>| match expression {
                Expr::Raise(..) => Some(Some(expression)),
                Expr::Literal(_) => Some(None),
                _ => None,
            };
            let mut found = Vec::new();
            for (when, then) in *when_then_pairs {
                found.push((Some(when), raised(then)?));
            }
            if let Some(otherwise) = else_expr {
                found.push((None, raised(otherwise)?));
            }
            Some(found)
        }
        _ => None,
    }
}

fn action(body: &TriggerBody<'_>, level: &SelectScope<'_, '_>, raised: &Expr<'_>) -> Result<String, Untranslatable> {
    let Expr::Raise(how, message) = raised else { return Err(refuse("it can't be read")) };
    match (how, message) {
        (ResolveType::Ignore, _) if body.timing == Timing::After => {
            Err(refuse("RAISE(IGNORE) after the row is stored has no exact equivalent"))
        }
        (ResolveType::Ignore, _) => Ok("RETURN NULL;".to_owned()),
        (ResolveType::Abort | ResolveType::Fail | ResolveType::Rollback, Some(message)) => {
            let message = level.operand(message, AllowedConstructs::default())?.text()?;
            Ok(format!("RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = {message};"))
        }
        _ => Err(refuse("RAISE has no message")),
    }
}
