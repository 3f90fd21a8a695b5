//! Writes the body of a trigger's function.

use std::rc::Rc;

use sqlite3_parser::ast::{Expr, TriggerCmd};

use super::{TriggerTables, dml, raise, self_update};
use crate::{
    model::{identifier::quote_literal, view_trigger_plan::Timing},
    rules::{
        expression::{QueryContext, Untranslatable, refuse},
        query::{
            relations::Relation,
            select_scope::{AllowedConstructs, CteList, FromItem, ScopeContext, SelectScope, StatementContext},
        },
    },
};

/// A trigger to be translated.
pub(super) struct TriggerBody<'a> {
    pub tables: &'a TriggerTables<'a>,
    /// SQLite's name of its table.
    pub table: &'a str,
    pub relation: &'a Rc<Relation>,
    pub timing: Timing,
    pub event: &'static str,
    pub comma_limits: bool,
}

/// A function's body with what CREATE TRIGGER says.
pub(super) struct TranslatedBody {
    pub timing: Timing,
    pub condition: Option<String>,
    pub sql: String,
}

impl TriggerBody<'_> {
    /// Translates the commands. `guard` is the trigger's name if it can set itself off.
    pub(super) fn translate(
        &self,
        when: Option<&Expr<'_>>,
        commands: &[TriggerCmd<'_>],
        guard: Option<&str>,
    ) -> Result<TranslatedBody, Untranslatable> {
        let statement = StatementContext::new(self.tables.catalogue, self.comma_limits);
        let level = self.rows(&statement, self.timing)?;
        if self.timing == Timing::After
            && self_update::is_all(self, commands)
            && let Ok(lines) = self_update::changes(self, &statement, commands)
        {
            let condition =
                when.map(|when| self.rows(&statement, Timing::Before)?.condition(when, AllowedConstructs::default()));
            let condition = condition.transpose()?;
            return Ok(self.assembled(Timing::Before, condition, lines, None));
        }
        let condition = when.map(|when| level.condition(when, AllowedConstructs::default())).transpose()?;
        let mut lines = Vec::new();
        for command in commands {
            match command {
                TriggerCmd::Select(select) => lines.extend(raise::lines(self, &level, select)?),
                TriggerCmd::Update { .. } => lines.push(dml::update(self, &level, command)?),
                TriggerCmd::Insert { .. } => lines.push(dml::insert(self, &level, command)?),
                TriggerCmd::Delete { .. } => lines.push(dml::delete(self, &level, command)?),
            }
        }
        Ok(self.assembled(self.timing, condition, lines, guard))
    }

    /// NEW and OLD.
    pub(super) fn rows<'s>(
        &self,
        statement: &'s StatementContext<'s>,
        timing: Timing,
    ) -> Result<SelectScope<'s, 's>, Untranslatable> {
        let place = ScopeContext { statement, parent: None, withs: CteList::default(), depth: 0 };
        let level = SelectScope::new(place)?;
        let relation = if timing == Timing::Before { self.stored_only() } else { Rc::clone(self.relation) };
        for name in ["NEW", "OLD"] {
            let is_there = match self.event {
                "INSERT" => name == "NEW",
                "DELETE" => name == "OLD",
                _ => true,
            };
            if is_there {
                statement.taken.borrow_mut().insert(name.to_owned());
                let mut source = FromItem::new(name.to_owned(), name.to_owned(), Rc::clone(&relation));
                source.only_qualified = true;
                level.sources.borrow_mut().push(source);
            }
        }
        Ok(level)
    }

    /// The table without its generated columns, which PostgreSQL computes after triggers BEFORE.
    pub(super) fn stored_only(&self) -> Rc<Relation> {
        let Ok(plan) = self.tables.plan(self.table) else { return Rc::clone(self.relation) };
        if plan.columns.iter().all(|column| column.generated.is_none()) {
            return Rc::clone(self.relation);
        }
        let mut relation = (**self.relation).clone();
        relation.columns.retain(|column| {
            plan.columns.iter().any(|found| found.source == column.source && found.generated.is_none())
        });
        relation.keys.clear();
        relation.rowid = None;
        Rc::new(relation)
    }

    fn assembled(
        &self,
        timing: Timing,
        condition: Option<String>,
        lines: Vec<String>,
        guard: Option<&str>,
    ) -> TranslatedBody {
        let row = if self.event == "DELETE" { "OLD" } else { "NEW" };
        let answer = if timing == Timing::After { "NULL" } else { row };
        // PostgreSQL takes neither subqueries in WHEN, nor WHEN for INSTEAD OF.
        let inside = condition.as_ref().is_some_and(|sql| sql.contains('\0')) || timing == Timing::InsteadOf;
        let (condition, test) = if inside { (None, condition) } else { (condition, None) };
        let mut body = String::from("BEGIN\n");
        if let Some(test) = test {
            body.push_str(&format!("  IF ({test}) IS NOT TRUE THEN\n    RETURN {answer};\n  END IF;\n"));
        }
        let setting = guard.map(|name| quote_literal(&format!("turso2neon.in_{}", setting(name))));
        if let Some(setting) = &setting {
            body.push_str(&format!(
                "  IF current_setting({setting}, true) = 'on' THEN\n    RETURN {answer};\n  END IF;\n  \
                 PERFORM set_config({setting}, 'on', true);\n"
            ));
        }
        for line in lines {
            body.push_str(&format!("  {line}\n"));
        }
        if let Some(setting) = &setting {
            body.push_str(&format!("  PERFORM set_config({setting}, 'off', true);\n"));
        }
        body.push_str(&format!("  RETURN {answer};\nEND"));
        TranslatedBody { timing, condition, sql: body }
    }
}

/// A name as part of a setting's name.
fn setting(name: &str) -> String {
    let digits = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).take(30).collect();
    format!("{}_{digits:016x}", letters.to_ascii_lowercase())
}

/// A place for a query within the body.
pub(super) fn inner<'l>(level: &'l SelectScope<'_, '_>) -> ScopeContext<'l> {
    ScopeContext {
        statement: level.place.statement,
        parent: Some(level as &dyn QueryContext),
        withs: CteList::default(),
        depth: level.place.depth + 2,
    }
}

/// What is refused everywhere.
pub(super) fn only_main(schema: Option<&sqlite3_parser::ast::Name<'_>>) -> Result<(), Untranslatable> {
    if schema.is_some() { Err(refuse("it writes to another database")) } else { Ok(()) }
}
