//! The statements that create what the target lacks of an existing schema, and that weaken what rows of the source
//! break. They run in the transaction that loads the rows.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Kind, Result},
    model::{
        Plan,
        catalog::{Catalog, CatalogObject, ObjectKind, ObjectName, Phase},
        existing_schema::{ExistingRows, ExistingSchema, WeakerForm},
        identifier::{qualified, quote_list, quote_literal},
        offtype::{self, OFFTYPE_TABLE},
        weakened_objects,
    },
    postgres::{Session, catalog},
    rules::ddl,
    stages::push::{plan::in_place::LiveStatements, target::session::path_setting},
};

/// What the target lacks of the plan's existing schema. `home` is the schema of the tables on the target; `is_first` if
/// no push has loaded rows into them.
///
/// # Errors
/// `Usage` if the tables are to go to another schema than they are in; `Target*`.
pub(super) async fn statements(
    control: &Session,
    plan: &Plan,
    existing: &ExistingSchema,
    home: &str,
    is_first: bool,
) -> Result<LiveStatements> {
    let wanted = &existing.catalog;
    if wanted.schema != home {
        let text =
            format!("the tables of the existing schema are in schema {}, and --schema names {home}", wanted.schema);
        return Err(
            Error::new(Kind::Usage, text).with_hint("leave --schema out, or name the schema that the tables are in")
        );
    }
    let found = read(control, home).await?;
    let there: BTreeSet<&ObjectName> = found.objects.iter().map(|object| &object.name).collect();
    let roles: BTreeSet<String> = control
        .query_column("looking for roles", "SELECT rolname::text FROM pg_roles", &[])
        .await?
        .into_iter()
        .collect();
    let mut all = LiveStatements::default();
    let missing = |object: &&CatalogObject| !there.contains(&object.name) && is_needed(existing, object);
    for object in wanted.objects.iter().filter(missing) {
        add(&mut all, plan, object, &roles);
    }
    weaken(&mut all, plan, wanted, &there);
    for rows in &existing.rows {
        let name = ObjectName::new(ObjectKind::Table, &rows.schema, &rows.table);
        if !there.contains(&name) {
            all.before.extend(insert(rows));
        }
    }
    // The user's statements run when the tables get their first rows, as they do where pushes create the tables.
    if is_first {
        all.before.splice(0..0, plan.hooks.before.iter().cloned());
        all.after.extend(plan.hooks.after.iter().cloned());
    }
    for statements in [&mut all.before, &mut all.after] {
        // Objects are created in the first schema of the path, which is the catalog's while rows are changed.
        let settings = format!("{}; SET LOCAL check_function_bodies = off", wanted.set_search_path(true));
        statements.insert(0, settings);
        statements.push(format!("SET LOCAL {}", path_setting(&wanted.search_path)));
    }
    all.present = found;
    Ok(all)
}

/// The off-type table, if the plan has one and the target lacks it.
pub(super) fn add_offtype_table(all: &mut LiveStatements, missing: &[String], home: &str) {
    if missing.iter().any(|name| name == OFFTYPE_TABLE) {
        all.before.push(ddl::create_table(home, &offtype::plan()).sql);
        all.made.insert(OFFTYPE_TABLE.to_owned());
    }
}

/// The catalog of the target. The session keeps its search path.
async fn read(control: &Session, home: &str) -> Result<Catalog> {
    let doing = "reading the objects of the target";
    control.batch(doing, "BEGIN READ ONLY").await?;
    let found = catalog::read(control, Some(home)).await;
    if !control.is_lost() {
        control.batch(doing, "ROLLBACK").await?;
    }
    found
}

/// Extensions that nothing needs are not the schema's.
fn is_needed(existing: &ExistingSchema, object: &CatalogObject) -> bool {
    object.name.kind != ObjectKind::Extension || existing.extensions.contains(&object.name.name)
}

fn add(all: &mut LiveStatements, plan: &Plan, object: &CatalogObject, roles: &BTreeSet<String>) {
    let words = object.name.words(&plan.schema);
    if let Some(role) = object.roles.iter().find(|role| !roles.contains(*role)) {
        all.not_created.push(format!("{words}: the target has no role {role}"));
        return;
    }
    let mut sql = weakened_objects::object(plan, object);
    if sql.is_empty() {
        return;
    }
    sql.extend(object.comments.iter().cloned());
    for (grant, role) in object.grants.iter().zip(&object.grant_roles) {
        match role.as_ref().filter(|role| !roles.contains(*role)) {
            Some(role) => all.not_created.push(format!("rights on {words}: the target has no role {role}")),
            None => sql.push(grant.clone()),
        }
    }
    if object.name.kind == ObjectKind::Table && object.name.schema == plan.schema {
        let is_planned = plan.tables.iter().any(|table| table.name == object.name.name);
        if is_planned {
            all.made.insert(object.name.name.clone());
        }
    }
    // Before the rows: those that the source lacks values for take numbers.
    sql.extend(object.sequence_states());
    all.created.push(words);
    match object.phase {
        Phase::BeforeRows => all.before.extend(sql),
        Phase::AfterRows => all.after.extend(sql),
    }
}

/// What rows of the source break is weakened by the user's consent, in new tables and in those that are there.
fn weaken(all: &mut LiveStatements, plan: &Plan, wanted: &Catalog, there: &BTreeSet<&ObjectName>) {
    let is_weakened = |object: &&CatalogObject| {
        let is_dropped = |form: &WeakerForm| matches!(form, WeakerForm::NotCreated | WeakerForm::NotValid);
        let mut own = plan.weakened.iter().filter(|weakened| weakened.name == object.name);
        there.contains(&object.name) && own.any(|weakened| is_dropped(&weakened.form))
    };
    let weakened: Vec<&CatalogObject> = wanted.objects.iter().filter(is_weakened).collect();
    // Each before what it needs, and a primary key before its columns take NULL.
    let drops: Vec<String> = weakened.iter().rev().flat_map(|object| object.drop()).collect();
    all.before.splice(0..0, drops);
    all.before.extend(weakened_objects::columns(plan, |name| there.contains(name)));
    for object in weakened {
        all.after.extend(weakened_objects::object(plan, object));
        all.weakened.push(object.name.words(&plan.schema));
    }
}

/// Rows that come with the schema, as statements.
fn insert(rows: &ExistingRows) -> Vec<String> {
    let columns = quote_list(rows.columns.iter().map(String::as_str));
    let table = qualified(&rows.schema, &rows.table);
    let values: Vec<String> = rows.copy.lines().map(|line| format!("({})", values(line))).collect();
    let statement =
        |part: &[String]| format!("INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE VALUES {}", part.join(", "));
    values.chunks(500).map(statement).collect()
}

/// The fields of a line of COPY's text format (COPY, Text Format) as literals.
fn values(line: &str) -> String {
    let field = |field: &str| if field == "\\N" { "NULL".to_owned() } else { quote_literal(&unescaped(field)) };
    line.split('\t').map(field).collect::<Vec<_>>().join(", ")
}

fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('v') => text.push('\u{b}'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_the_text_format_become_literals() {
        assert_eq!(values("1\t\\N\tit's\\ta\\\\b\\n\t"), "'1', NULL, 'it''s\ta\\b\n', ''");
    }
}
