//! Records the outcome of the source's tables and objects, and what of the existing schema is not created.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::assembled::Assembled,
    PlanInputs,
    matching::{self, Matches},
};
use crate::{
    model::{
        Finding, FindingCode, Severity, TablePlan,
        catalog::{ObjectKind, quote_ident_if_needed},
        conversion_plan::{ObjectPlan, Outcome},
        human_format::counted,
        similar_name::nearest,
        source_schema::{IndexKey, IndexOrigin, SourceIndex, SourceTable},
    },
    rules::{
        migration_history::{self, Framework},
        type_choice::{table_setting, toml_text},
    },
};

/// Why an object of the source is not made.
const DECIDES: &str = "the existing schema decides what the tables have";

/// Adds one object for each of the source, and the findings.
pub(super) fn report(work: &PlanInputs<'_>, matches: &Matches, rows: &BTreeMap<&str, u64>, all: &mut Assembled) {
    for (at, source) in work.schema.tables.iter().enumerate() {
        let selected = work.decisions.selected.get(at).copied().unwrap_or(false);
        let planned = all.tables.iter().find(|table| matches.tables.contains_key(&at) && table.source == source.name);
        match planned {
            Some(table) => {
                all.objects.push(object("table", &source.name, &source.name, true, ""));
                all.objects.extend(own_objects(source, Some(table)));
            }
            None => {
                let reason = match matching::history_of(source) {
                    _ if !selected => "the configuration leaves it out",
                    Some(_) => "it is the migration history of the source",
                    None => "the existing schema has no such table",
                };
                all.objects.push(object("table", &source.name, &source.name, false, reason));
                all.objects.extend(own_objects(source, None));
                let rows = rows.get(source.name.as_str()).copied().unwrap_or(0);
                all.findings.push(skipped(work, matches, (at, source), selected, rows));
            }
        }
    }
    for view in &work.schema.views {
        all.objects.push(object("view", &view.name, &view.name, false, DECIDES));
        let finding = Finding::new(FindingCode::ViewNotCarried, Severity::Warning, format!("not made: {DECIDES}"));
        all.findings.push(finding.at_table(&view.name).with_sql(&view.sql));
    }
    for trigger in &work.schema.triggers {
        all.objects.push(object("trigger", &trigger.name, &trigger.table, false, DECIDES));
        let finding = Finding::new(FindingCode::TriggerNotCarried, Severity::Warning, format!("not made: {DECIDES}"));
        all.findings.push(finding.at_table(&trigger.table).at_column(&trigger.name).with_sql(&trigger.sql));
    }
    for skipped in &work.schema.skipped {
        all.objects.push(object(&skipped.kind, &skipped.name, &skipped.table, false, &skipped.reason));
        all.findings.extend(skipped.finding());
    }
    left_out(work, all);
    inherited_rows(work, all);
    advise(work, all);
}

/// Rows of a table that inherits are rows of its parent too (PostgreSQL "Inheritance"), so that what is sent to the one
/// cannot be compared with what the other holds.
fn inherited_rows(work: &PlanInputs<'_>, all: &mut Assembled) {
    let catalog = &work.target.catalog;
    let parents = |name: &str| {
        let table = catalog.tables().find(|(table, _)| quote_ident_if_needed(table) == name);
        table.map(|(_, table)| table.inherits.clone()).unwrap_or_default()
    };
    let is_planned = |written: &str| all.tables.iter().any(|table| quote_ident_if_needed(&table.name) == written);
    let mut findings = Vec::new();
    for heir in all.tables.iter().filter(|table| table.rows > 0) {
        let mut waiting = parents(&quote_ident_if_needed(&heir.name));
        while let Some(parent) = waiting.pop() {
            if is_planned(&parent) {
                let message = format!(
                    "{} inherits from {parent}, and both are tables of the source: such rows cannot be loaded. Leave one of \
                     the two out with --exclude, or make {parent} a partitioned table",
                    heir.name
                );
                let finding = Finding::new(FindingCode::ClauseNotCarried, Severity::Refused, message);
                findings.push(finding.at_table(&heir.source).counting(heir.rows));
                break;
            }
            waiting.extend(parents(&parent));
        }
    }
    all.findings.extend(findings);
}

/// What frameworks need before their next migration on a target whose tables come from a file: their history is not
/// there. A live schema has its own.
fn advise(work: &PlanInputs<'_>, all: &mut Assembled) {
    if work.target.is_live {
        return;
    }
    let of_source = work.schema.tables.iter().filter_map(|table| Some((matching::history_of(table)?, &table.name)));
    let of_target = work.target.tables.iter().filter_map(|table| {
        let columns = table.columns.iter().map(|column| column.name.as_str());
        Some((migration_history::recognise(&table.name, columns)?, &table.name))
    });
    let mut advised = BTreeSet::new();
    for (framework, table) in of_source.chain(of_target) {
        let is_filled = work.target.rows.iter().any(|rows| {
            let columns = rows.columns.iter().map(String::as_str);
            rows.count > 0 && migration_history::recognise(&rows.table, columns) == Some(framework)
        });
        if !is_filled && advised.insert(framework) {
            let finding = Finding::new(FindingCode::Advice, Severity::Info, framework.advice());
            all.findings.push(finding.at_table(table));
        }
    }
}

fn left_out(work: &PlanInputs<'_>, all: &mut Assembled) {
    let extensions = work.target.catalog.objects.iter().filter(|object| object.name.kind == ObjectKind::Extension);
    for object in extensions.filter(|object| !work.target.extensions.contains(&object.name.name)) {
        let message =
            "the extension is in the database, and no object of the existing schema needs it: it is not created";
        all.findings.push(Finding::new(FindingCode::Advice, Severity::Info, message).at_table(&object.name.name));
    }
    for one in &work.target.catalog.omitted {
        let message = format!("of the existing schema: {}", one.what);
        let mut finding = Finding::new(FindingCode::ClauseNotCarried, Severity::Warning, message);
        if let Some(table) = &one.table {
            let source = all.tables.iter().find(|planned| planned.name == *table).map(|planned| &planned.source);
            finding = finding.at_table(source.unwrap_or(table));
        }
        if let Some(sql) = &one.sql {
            finding = finding.with_sql(sql);
        }
        all.findings.push(finding);
    }
}

/// A table of the source without a place.
fn skipped(
    work: &PlanInputs<'_>,
    matches: &Matches,
    (at, source): (usize, &SourceTable),
    selected: bool,
    rows: u64,
) -> Finding {
    let name = &source.name;
    if !selected {
        let message = "the configuration leaves it out";
        return Finding::new(FindingCode::TableSkipped, Severity::Info, message).at_table(name);
    }
    if let Some(framework) = matching::history_of(source) {
        let stays = work.target.tables.iter().any(|existing| existing.name.eq_ignore_ascii_case(name));
        return history(framework, stays, rows).at_table(name);
    }
    let message = format!("the existing schema has no such table: {} left out", counted(rows, "row is", "rows are"));
    let severity = if rows == 0 { Severity::Info } else { Severity::NeedsDecision };
    let mut finding = Finding::new(FindingCode::TableSkipped, severity, message).at_table(name).counting(rows);
    let free = work.target.tables.iter().enumerate().filter(|(existing, _)| {
        !matches.tables.iter().any(|(source, found)| *source != at && found.existing == *existing)
    });
    if let Some(near) = nearest(name, free.map(|(_, existing)| existing.name.clone())) {
        finding = finding.choice(table_setting(name, &format!("name = {}", toml_text(&near))));
    }
    finding
        .choice("--carry-missing creates the table by the rules of this tool")
        .choice(format!("exclude = [\"{name}\"]"))
        .choice(format!("--accept table-skipped@{name}"))
}

/// The migration history of the source. That of PostgreSQL's tables, where there is one, is the valid one for them.
fn history(framework: Framework, stays: bool, rows: u64) -> Finding {
    let framework = framework.word();
    let rows = counted(rows, "row is", "rows are");
    if stays {
        let message = format!(
            "it is a migration history of {framework}: that of the existing schema stays as it is, and the source's {rows} \
             not loaded"
        );
        return Finding::new(FindingCode::TableSkipped, Severity::Info, message);
    }
    let message = format!(
        "it is a migration history of {framework}, and the existing schema does not have this table: the source's {rows} not \
         loaded"
    );
    Finding::new(FindingCode::TableSkipped, Severity::Warning, message)
}

fn object(kind: &str, source: &str, table: &str, carried: bool, reason: &str) -> ObjectPlan {
    ObjectPlan {
        kind: kind.to_owned(),
        source: source.to_owned(),
        table: table.to_owned(),
        outcome: if carried { Outcome::Carried } else { Outcome::NotCarried },
        reason: reason.to_owned(),
    }
}

/// Keys, indexes, checks and foreign keys of a source table: carried where the planned table has the same.
fn own_objects(source: &SourceTable, planned: Option<&TablePlan>) -> Vec<ObjectPlan> {
    let names = |columns: &[String]| -> Option<BTreeSet<String>> {
        let planned = planned?;
        let one = |name: &String| {
            let column = planned.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name));
            column.map(|column| column.name.clone())
        };
        columns.iter().map(one).collect()
    };
    let same = |wanted: &Option<BTreeSet<String>>, columns: &[String]| {
        wanted.as_ref().is_some_and(|wanted| *wanted == columns.iter().cloned().collect())
    };
    let mut found = Vec::new();
    let mut add = |kind: &str, name: &str, carried: bool| {
        found.push(object(kind, name, &source.name, carried, if carried { "" } else { DECIDES }));
    };
    let is_key = |wanted: &Option<BTreeSet<String>>| {
        planned.is_some_and(|table| {
            table.primary_key.iter().chain(&table.uniques).any(|key| same(wanted, &key.columns))
                || table.indexes.iter().any(|index| index.unique && same(wanted, &unquoted(&index.keys)))
        })
    };
    if !source.primary_key.is_empty() {
        add("primary key", "PRIMARY KEY", is_key(&names(&source.primary_key)));
    }
    for index in source.indexes.iter().filter(|index| index.origin != IndexOrigin::PrimaryKey) {
        let columns = names(&columns_of(index)).filter(|_| index.predicate.is_none());
        let by_index = planned.is_some_and(|table| {
            table.indexes.iter().any(|made| !index.unique && same(&columns, &unquoted(&made.keys)))
        });
        let kind = if index.origin == IndexOrigin::Unique { "unique" } else { "index" };
        add(kind, &index.name, by_index || (index.unique && is_key(&columns)));
    }
    for (number, check) in (1..).zip(&source.checks) {
        add("check", check.name.as_deref().unwrap_or(&format!("check {number}")), false);
    }
    for key in &source.foreign_keys {
        let columns = names(&key.columns);
        let made = planned.is_some_and(|table| table.foreign_keys.iter().any(|made| same(&columns, &made.columns)));
        let name = key.name.clone().unwrap_or_else(|| format!("{} -> {}", key.columns.join(", "), key.parent));
        add("foreign key", &name, made);
    }
    found
}

fn columns_of(index: &SourceIndex) -> Vec<String> {
    let name = |key: &IndexKey| match key {
        IndexKey::Column(name) => name.clone(),
        IndexKey::Rowid | IndexKey::Expression(_) => String::new(),
    };
    index.columns.iter().map(|column| name(&column.key)).collect()
}

/// Key parts that are plain columns, without their quotes.
fn unquoted(keys: &[String]) -> Vec<String> {
    keys.iter().map(|key| key.trim_matches('"').to_owned()).collect()
}
