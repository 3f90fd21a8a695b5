//! What a push would change about tables that are in use, and why, by the plan.
//!
//! New tables and columns, and keys and indexes of them, change nothing for those who use the others. The off-type table
//! is the tool's own. The rest is named: a type, nullability, a key, and whatever is no longer there.

use crate::{
    error::{Error, Kind},
    model::{
        ColumnPlan, Finding, FindingCode, Plan, TablePlan,
        conversion_plan::{OFFTYPE_TABLE, Origin, Outcome, RowAddress},
        human_format::counted,
        structure_change::{ChangedPart, KeyContract, StructureChange, TableContract},
    },
    rules::type_choice::column_setting,
    stages::push::{
        plan::manifest,
        target::{contract::RecordedContract, objects::PushedObject},
    },
};

/// Findings that say why a column has another type, the most telling first.
const OF_TYPE: [FindingCode; 6] = [
    FindingCode::TypeWidened,
    FindingCode::TypeDoesNotFit,
    FindingCode::TextNotStorable,
    FindingCode::VectorExtensionMissing,
    FindingCode::EpochAssumed,
    FindingCode::ClassMerged,
];

/// Findings that say why a column or a key is another one.
const OF_CONSTRAINTS: [FindingCode; 5] = [
    FindingCode::NotNullViolated,
    FindingCode::NullsInPrimaryKey,
    FindingCode::KeysMerged,
    FindingCode::UniqueNotCarried,
    FindingCode::ForeignKeyNotCarried,
];

/// The changes that carrying out the plan makes to these tables, views and triggers.
pub(crate) fn find(live: &[RecordedContract], objects: &[PushedObject], plan: &Plan) -> Vec<StructureChange> {
    let mut changes = Vec::new();
    // Without a table nothing is in use.
    if live.is_empty() {
        return changes;
    }
    let shared = manifest::shared(plan);
    for before in live.iter().filter(|before| before.name != OFFTYPE_TABLE) {
        match plan.tables.iter().find(|table| table.name == before.name) {
            None => changes.push(gone(plan, (ChangedPart::Table, &before.name, None), &before.source)),
            Some(table) if manifest::fingerprint(table, &shared) == before.fingerprint => {}
            Some(table) => of_table(&before.contract, plan, table, &mut changes),
        }
    }
    for object in objects {
        let (part, stays) = match object.kind.as_str() {
            "view" => (ChangedPart::View, plan.views.iter().any(|view| view.name == object.name)),
            _ => (ChangedPart::Trigger, plan.triggers.iter().any(|trigger| trigger.function == object.name)),
        };
        if !stays {
            changes.push(gone(plan, (part, &object.name, None), &object.name));
        }
    }
    changes
}

/// Something that the target will not have any more. `source` is SQLite's name, as far as it is known.
fn gone(plan: &Plan, (part, object, member): (ChangedPart, &str, Option<&str>), source: &str) -> StructureChange {
    let is_meant = |kind: &str, name: &str| kind == part.word() && name.eq_ignore_ascii_case(source);
    let mut lost = plan.objects.iter().filter(|found| found.outcome == Outcome::NotCarried);
    let reason = lost.find(|found| is_meant(&found.kind, &found.source)).map(|found| found.reason.clone());
    StructureChange {
        part,
        object: object.to_owned(),
        member: member.map(str::to_owned),
        before: None,
        after: None,
        code: None,
        cause: reason.unwrap_or_else(|| "the source does not have it any more".to_owned()),
        setting: None,
    }
}

fn of_table(before: &TableContract, plan: &Plan, table: &TablePlan, changes: &mut Vec<StructureChange>) {
    let now = TableContract::of(table);
    for (name, was) in &before.columns {
        let Some((is, column)) = now.columns.get(name).zip(table.column(name)) else {
            let lost = gone(plan, (ChangedPart::Column, &table.name, Some(name)), name);
            changes.push(StructureChange { before: Some(was.pg_type.clone()), ..lost });
            continue;
        };
        let change = |part, (before, after): (&str, &str), (code, cause): Cause| StructureChange {
            part,
            object: table.name.clone(),
            member: Some(name.clone()),
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
            code,
            cause,
            setting: None,
        };
        if was.pg_type != is.pg_type {
            let inside = format!("type = \"{}\", off_type = \"reject\"", was.pg_type.replace('"', "\\\""));
            let setting = Some(column_setting(&table.source, &column.source, &inside));
            let made = change(ChangedPart::Type, (&was.pg_type, &is.pg_type), cause_of_type(plan, table, column));
            changes.push(StructureChange { setting, ..made });
        }
        if was.not_null != is.not_null {
            let words = |not_null| if not_null { "NOT NULL" } else { "NULL allowed" };
            let cause = cause_of_constraint(plan, table, Some(&column.source));
            changes.push(change(ChangedPart::Nullability, (words(was.not_null), words(is.not_null)), cause));
        }
    }
    keys(before, &now, plan, table, changes);
    indexes(before, &now, plan, table, changes);
}

fn keys(
    before: &TableContract,
    now: &TableContract,
    plan: &Plan,
    table: &TablePlan,
    changes: &mut Vec<StructureChange>,
) {
    let lacks = |keys: &[KeyContract], key: &KeyContract| !keys.iter().any(|other| other.is_same(key));
    let is_of_new_columns = |key: &KeyContract| key.columns.iter().all(|name| !before.columns.contains_key(name));
    let lost: Vec<&KeyContract> = before.keys.iter().filter(|key| lacks(&now.keys, key)).collect();
    let mut new: Vec<&KeyContract> =
        now.keys.iter().filter(|key| lacks(&before.keys, key) && !is_of_new_columns(key)).collect();
    let mut change = |part, name: &str, before: Option<String>, after: Option<String>| {
        let (code, cause) = cause_of_constraint(plan, table, None);
        let (object, member, setting) = (table.name.clone(), Some(name.to_owned()), None);
        changes.push(StructureChange { part, object, member, before, after, code, cause, setting });
    };
    for key in lost {
        // Another key of the same kind and name, or another primary key, is the same key changed.
        let same = |other: &&KeyContract| {
            other.part == key.part && (other.name == key.name || key.part == ChangedPart::PrimaryKey)
        };
        let after = new.iter().position(same).map(|at| new.swap_remove(at).words());
        change(key.part, &key.name, Some(key.words()), after);
    }
    for key in new {
        change(key.part, &key.name, None, Some(key.words()));
    }
}

fn indexes(
    before: &TableContract,
    now: &TableContract,
    plan: &Plan,
    table: &TablePlan,
    changes: &mut Vec<StructureChange>,
) {
    for (name, was) in &before.indexes {
        let lost = gone(plan, (ChangedPart::Index, &table.name, Some(name)), name);
        let Some(is) = now.indexes.get(name) else {
            changes.push(lost);
            continue;
        };
        let words = |unique, on: &Option<String>| {
            let on = on.as_ref().map(|on| format!(" on {on}")).unwrap_or_default();
            Some(format!("{}{on}", if unique { "unique" } else { "not unique" }))
        };
        // What an index that is not unique is on concerns nobody but the planner of PostgreSQL.
        let is_other_key = is.unique && was.on.is_some() && was.on != is.on;
        if was.unique != is.unique || is_other_key {
            let (code, cause) = cause_of_constraint(plan, table, Some(name));
            let (before, after) = (words(was.unique, &was.on), words(is.unique, &is.on));
            changes.push(StructureChange { before, after, code, cause, ..lost });
        }
    }
}

/// A finding, and words that go after `because`.
type Cause = (Option<FindingCode>, String);

fn cause_of_type(plan: &Plan, table: &TablePlan, column: &ColumnPlan) -> Cause {
    let found = finding(plan, &OF_TYPE, table, Some(&column.source));
    let profile = &column.evidence;
    let first = profile.first_spoiler.or(profile.first_off_shape).or(profile.first_not_storable);
    match (found, column.origin) {
        (Some(Finding { code, count: Some(count), .. }), _) => {
            let word = if matches!(table.address, RowAddress::Rowid(_)) { "rowid" } else { "row" };
            let first = first.map(|at| format!(" (first at {word} {at})")).unwrap_or_default();
            (Some(*code), format!("of {}{first}", counted(*count, "value", "values")))
        }
        (Some(found), _) => (Some(found.code), of_finding(found)),
        (None, Origin::Override) => (None, "the configuration sets the type".to_owned()),
        (None, Origin::Rule) => {
            let declared = if column.declared.is_empty() { "no type" } else { &column.declared };
            (None, format!("the source declares {declared} ({})", column.rule))
        }
    }
}

/// Of the column or index of this source name, or of any of the table.
fn cause_of_constraint(plan: &Plan, table: &TablePlan, member: Option<&str>) -> Cause {
    match finding(plan, &OF_CONSTRAINTS, table, member) {
        Some(found) => (Some(found.code), of_finding(found)),
        None => (None, "the source declares it so".to_owned()),
    }
}

fn of_finding(found: &Finding) -> String {
    format!("of the finding {} ({})", found.code.word(), found.message)
}

fn finding<'a>(plan: &'a Plan, codes: &[FindingCode], table: &TablePlan, member: Option<&str>) -> Option<&'a Finding> {
    let is_there = |found: &&Finding| {
        found.table.as_deref() == Some(table.source.as_str())
            && member.is_none_or(|name| found.column.as_deref() == Some(name))
    };
    codes.iter().find_map(|code| plan.with_code(*code).find(is_there))
}

/// The error for changes that nobody decided.
pub(crate) fn undecided(changes: &[StructureChange]) -> Error {
    let number = counted(u64::try_from(changes.len()).unwrap_or(u64::MAX), "undecided change", "undecided changes");
    let first = changes.first().map(ToString::to_string).unwrap_or_default();
    let more = if changes.len() > 1 { "; the other changes are listed above" } else { "" };
    let error =
        Error::new(Kind::TypeChanged, format!("{number} of tables that are in use on the target: {first}{more}"));
    match changes.iter().find_map(|change| change.setting.as_ref()) {
        Some(setting) => error.with_hint(format!(
            "the target was not changed; use --on-type-change follow to make the changes, or keep the type with `{setting}` in \
             turso2neon.toml"
        )),
        None => error,
    }
}
