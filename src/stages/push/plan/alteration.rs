//! Whether ALTER TABLE can give the tables of the last push the structure that would be pushed, and by which statements.
//!
//! The wanted structure is created on the target itself, without rows and in a transaction that is rolled back, by the
//! statements with which a push creates tables. So both structures are in the words of one server, and what is compared
//! is exactly what replaced tables would have.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        TablePlan,
        catalog::{
            Catalog, CatalogObject, ColumnDefinition, ObjectFacts, ObjectKind, ObjectName, TableDefinition,
            quote_ident_if_needed,
        },
        identifier::{qualified, quote_ident},
    },
    postgres::{Session, catalog},
    rules::{
        ddl::{self, Statement},
        schema_sync::{self, Allowed, Change, Effect, Rename, Timing},
    },
    stages::push::{
        plan::{
            column_renames,
            manifest::{Manifest, TableToPush},
            preflight::TargetState,
            request::PushRequest,
        },
        target::{
            objects,
            record::{PushedTableRecord, UnfinishedRun},
            session::path_setting,
        },
    },
};

/// How the schema is called in which the wanted structure is created. Schemas with names of the tool are not read as
/// catalogs.
const TRIAL_PREFIX: &str = "_t2n_trial_";

const DOING: &str = "comparing the structure of the tables";

/// What is altered, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Alteration {
    /// Statements that are committed by themselves, before the others.
    pub before: Vec<String>,
    /// Statements of one transaction.
    pub inside: Vec<String>,
    /// Schemas in which the statements look up names.
    pub search_path: Vec<String>,
    /// Tables of the last push with another structure.
    pub altered: BTreeSet<String>,
    /// Tables that are created, without rows.
    pub made: BTreeSet<String>,
    /// Tables of the last push that get another name: the old one and the new one, which is among the altered.
    pub renamed: Vec<(String, String)>,
    /// Tables of the last push that are dropped.
    pub removed: BTreeSet<String>,
    /// Columns that are dropped, with their tables.
    pub lost_columns: Vec<String>,
    /// Whether a column gets a type that does not hold every value of the old one.
    pub converts: bool,
    /// Tables that the statements lock: those above that are there, and those that their foreign keys refer to.
    pub locked: Vec<String>,
}

impl Alteration {
    /// All statements, in order.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &String> {
        self.before.iter().chain(&self.inside)
    }

    /// The name that a table of the plan has before.
    pub(crate) fn name_before<'a>(&'a self, name: &'a str) -> &'a str {
        self.renamed.iter().find(|(_, new)| new == name).map_or(name, |(old, _)| old)
    }

    /// The tables that have the plan's structure only afterwards.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &String> {
        self.altered.iter().chain(&self.made)
    }
}

/// The tables that would have to change.
struct Scope<'a> {
    changed: Vec<&'a TablePlan>,
    /// With their new names, which are among the changed.
    renamed: Vec<(&'a PushedTableRecord, &'a TablePlan)>,
    removed: Vec<&'a PushedTableRecord>,
}

impl Scope<'_> {
    fn is_planned(&self, name: &str) -> bool {
        self.changed.iter().any(|table| table.name == name)
    }

    fn is_compared(&self, name: &str) -> bool {
        let renamed = self.renamed.iter().map(|(table, _)| table);
        self.is_planned(name) || self.removed.iter().chain(renamed).any(|table| table.name == name)
    }

    fn renames(&self) -> impl Iterator<Item = Rename> {
        let rename = |(old, new): &(&PushedTableRecord, &TablePlan)| Rename {
            table: old.name.clone(),
            column: None,
            new: new.name.clone(),
        };
        self.renamed.iter().map(rename)
    }
}

/// What would be altered; none if that is not possible, so that the tables have to be replaced.
///
/// # Errors
/// `TargetUnreachable`.
pub(crate) async fn find(
    ctx: &Context,
    (control, reader): (&Session, &Session),
    manifest: &Manifest,
    target_state: &TargetState,
    request: &PushRequest,
) -> Result<Option<Alteration>> {
    let Some(scope) = scope(manifest, target_state, request) else { return Ok(None) };
    let compared = async {
        let (wanted, present) = catalogs(control, manifest, target_state, request, &scope).await?;
        let mut renames = column_renames::find((control, reader), (&wanted, &present), &manifest.plan).await?;
        renames.extend(scope.renames());
        Ok((wanted, present, renames))
    };
    let compared = compared.await;
    // A failure speaks against altering only: replacing the tables has its own checks.
    match compared {
        Err(error) if control.is_lost() => Err(error),
        Err(error) => {
            ctx.out.info(format!("the tables are not altered, because their structure can't be compared: {error}"));
            control.batch("leaving the transaction", "ROLLBACK").await?;
            Ok(None)
        }
        Ok((wanted, present, renames)) => {
            let alteration = between((&wanted, &present), &renames, &scope, target_state, &request.schema);
            // Values that a type converts could not be put back.
            Ok(alteration.filter(|alteration| !(request.keep_previous && alteration.converts)))
        }
    }
}

/// What would have to change, if all of it is this tool's.
fn scope<'a>(manifest: &'a Manifest, target_state: &'a TargetState, request: &PushRequest) -> Option<Scope<'a>> {
    let record = &target_state.record;
    let is_plain = |table: &PushedTableRecord| {
        table.is_pushed() && !table.is_adopted && table.lost.is_empty() && table.foreign_owner.is_none()
    };
    let hooks = &manifest.plan.hooks;
    let is_possible = target_state.kept.is_empty()
        && target_state.creates_extensions.is_empty()
        && request.force_tables.is_empty()
        && manifest.plan.existing_schema.is_none()
        // The user's SQL belongs to the creation of tables.
        && hooks.before.is_empty()
        && hooks.after.is_empty()
        && record.live.iter().all(is_plain)
        && !record.unfinished.iter().any(UnfinishedRun::is_replacing)
        && objects::are_there(&manifest.plan, &request.schema, &record.live_objects);
    if !is_possible {
        return None;
    }
    let live = |name: &str| record.live.iter().find(|table| table.name == name);
    let changed = manifest
        .tables
        .iter()
        .filter(|to_push| live(&to_push.table.name).is_none_or(|table| table.fingerprint != to_push.fingerprint));
    let changed: Vec<&TablePlan> = changed.map(|to_push| &to_push.table).collect();
    let is_in_plan = |name: &str| manifest.tables.iter().any(|to_push| to_push.table.name == name);
    let gone: Vec<&PushedTableRecord> = record.live.iter().filter(|table| !is_in_plan(&table.name)).collect();
    let new: Vec<&TableToPush> = manifest.tables.iter().filter(|to_push| live(&to_push.table.name).is_none()).collect();
    let renamed = renamed_tables(&gone, &new);
    let is_renamed = |table: &PushedTableRecord| renamed.iter().any(|(old, _)| old.name == table.name);
    let removed: Vec<&PushedTableRecord> = gone.into_iter().filter(|table| !is_renamed(table)).collect();
    // The rows of a table that is dropped could not be put back.
    let loses_rows = request.keep_previous && !removed.is_empty();
    let is_same = changed.is_empty() && removed.is_empty();
    if loses_rows || is_same { None } else { Some(Scope { changed, renamed, removed }) }
}

/// Tables that left the plan, with the new ones that have exactly their rows, as far as these are no other one's.
fn renamed_tables<'a>(
    gone: &[&'a PushedTableRecord],
    new: &[&'a TableToPush],
) -> Vec<(&'a PushedTableRecord, &'a TablePlan)> {
    let of_old = |table: &PushedTableRecord| table.digest.filter(|digest| digest.rows > 0);
    let of_new = |to_push: &TableToPush| to_push.loaded.as_ref().and_then(|loaded| loaded.server_digest);
    let mut pairs = Vec::new();
    for old in gone {
        let Some(digest) = of_old(old) else { continue };
        let mut same = new.iter().filter(|to_push| of_new(to_push) == Some(digest));
        let is_only_one = gone.iter().filter(|other| of_old(other) == Some(digest)).count() == 1;
        if let (Some(found), None, true) = (same.next(), same.next(), is_only_one) {
            pairs.push((*old, &found.table));
        }
    }
    pairs
}

/// The wanted structure and the present one, restricted to what is compared.
async fn catalogs(
    control: &Session,
    manifest: &Manifest,
    target_state: &TargetState,
    request: &PushRequest,
    scope: &Scope<'_>,
) -> Result<(Catalog, Catalog)> {
    let home = request.schema.as_str();
    let trial = format!("{TRIAL_PREFIX}{}", manifest.short_key());
    control.batch(DOING, "BEGIN; SET LOCAL lock_timeout = '10s'").await?;
    let present = catalog::read(control, Some(home)).await?;
    let mut sql = vec![
        format!("SET LOCAL {}", path_setting(&target_state.path)),
        format!("CREATE SCHEMA {}", quote_ident(&trial)),
    ];
    sql.extend(creation(&trial, manifest, scope));
    control.batch(DOING, &sql.join(";\n")).await?;
    let wanted = catalog::read(control, Some(&trial)).await?;
    control.batch(DOING, "ROLLBACK").await?;
    // Objects of the main schema would have the same names.
    let wanted = renamed(wanted.only(|object| object.name.schema == trial), &trial, home)?;
    let others_added = |object: &CatalogObject| {
        let part = format!("{} {}", object.name.kind.word(), object.name.name);
        let table = target_state.record.live.iter().find(|table| table.name == object.name.table);
        // What the plan has as well was made by `schema sync`, or by the user.
        let is_planned = wanted.object(&object.name).is_some_and(|planned| planned.facts == object.facts);
        !is_planned && table.is_some_and(|table| table.added.contains(&part))
    };
    let present =
        present.only(|object| is_meant(object, home, |name| scope.is_compared(name)) && !others_added(object));
    let wanted = wanted.only(|object| is_meant(object, home, |name| scope.is_planned(name)));
    Ok(alike(wanted, present))
}

/// The statements that create the tables that change, and those that their foreign keys refer to.
fn creation(schema: &str, manifest: &Manifest, scope: &Scope<'_>) -> Vec<String> {
    let is_parent = |name: &str| {
        let mut keys = scope.changed.iter().flat_map(|table| &table.foreign_keys);
        keys.any(|key| key.parent == name) && !scope.is_planned(name)
    };
    let parents = manifest.tables.iter().map(|to_push| &to_push.table).filter(|table| is_parent(&table.name));
    let mut statements: Vec<Statement> = Vec::new();
    for table in scope.changed.iter().copied().chain(parents) {
        statements.push(ddl::create_table(schema, table));
        statements.extend(ddl::keys(schema, table));
        statements.extend(ddl::indexes(schema, table));
    }
    for table in &scope.changed {
        statements.extend(ddl::checks(schema, table));
        statements.extend(ddl::defaults(schema, table));
        statements.extend(ddl::foreign_keys(schema, table));
        statements.extend(ddl::validations(schema, table));
    }
    statements.into_iter().map(|statement| statement.sql).collect()
}

/// The catalog with its main schema called `new`.
fn renamed(catalog: Catalog, old: &str, new: &str) -> Result<Catalog> {
    let broken = |_| Error::new(Kind::Bug, "a catalog has no JSON form");
    let mut value = serde_json::to_value(catalog).map_err(broken)?;
    rename(&mut value, old, new);
    serde_json::from_value(value).map_err(broken)
}

fn rename(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) if text == old => new.clone_into(text),
        // In SQL. No other name contains that of the trial schema.
        Value::String(text) => {
            *text = text.replace(&quote_ident(old), &quote_ident(new)).replace(old, &quote_ident_if_needed(new));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, old, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, old, new)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Tables, constraints and indexes; what else is attached to a table stays.
fn is_meant(object: &CatalogObject, home: &str, is_compared: impl Fn(&str) -> bool) -> bool {
    let name = &object.name;
    name.schema == home
        && match name.kind {
            ObjectKind::Table => is_compared(&name.name),
            ObjectKind::Constraint | ObjectKind::Index => is_compared(&name.table),
            _ => false,
        }
}

/// Without what is not compared: comments, rights, and the options for the storage of tables that are there.
fn alike(mut wanted: Catalog, mut present: Catalog) -> (Catalog, Catalog) {
    for object in wanted.objects.iter_mut().chain(&mut present.objects) {
        object.comments.clear();
        object.grants.clear();
        object.grant_roles.clear();
    }
    for object in &mut wanted.objects {
        if let ObjectFacts::Table(table) = &mut object.facts
            && let Some(ObjectFacts::Table(there)) = present.object(&object.name).map(|object| &object.facts)
        {
            table.unlogged = there.unlogged;
            table.options.clone_from(&there.options);
            table.settings.clone_from(&there.settings);
        }
    }
    (wanted, present)
}

/// What makes the present structure the wanted one, if that is possible in place. Whether anything may be removed or
/// narrowed was decided before (`structure_changes`).
fn between(
    (wanted, present): (&Catalog, &Catalog),
    renames: &[Rename],
    scope: &Scope<'_>,
    target_state: &TargetState,
    home: &str,
) -> Option<Alteration> {
    let synchronisation = schema_sync::statements(wanted, present, Allowed::ALL, renames).ok()?;
    let live = &target_state.record.live;
    let is_renamed = |name: &str| scope.renamed.iter().any(|(_, new)| new.name == name);
    let is_live = |name: &str| live.iter().any(|table| table.name == name);
    // A table that would be created again is replaced with the others.
    let is_rebuilt = |change: &Change| change.effect == Effect::Narrows && change.sql.contains(" TEMPORARY TABLE ");
    if !synchronisation.withheld.is_empty() || synchronisation.changes.iter().any(is_rebuilt) {
        return None;
    }
    // ALTER TABLE appends columns, and statements may rely on the order.
    if !wanted.tables().all(|(name, table)| is_appended(table, &columns_after(present, name, table, renames))) {
        return None;
    }
    let columns = |catalog: &Catalog, name: &str| {
        let tables = catalog.tables().filter(|(table, _)| *table == name).flat_map(|(_, table)| &table.columns);
        tables.map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    if !scope.renamed.iter().all(|(old, new)| columns(present, &old.name) == columns(wanted, &new.name)) {
        return None;
    }
    let lost_columns = lost_columns(wanted, present, renames);
    if live.iter().any(|table| loses_additions(table, &lost_columns, renames, scope)) {
        return None;
    }
    let is_conversion = |change: &Change| change.effect == Effect::Narrows && change.sql.contains(" TYPE ");
    let converts = synchronisation.changes.iter().any(is_conversion);
    let (before, inside): (Vec<Change>, Vec<Change>) =
        synchronisation.changes.into_iter().partition(|change| change.timing == Timing::Before);
    let sql = |changes: Vec<Change>| changes.into_iter().map(|change| change.sql).collect();
    let names = scope.changed.iter().map(|table| table.name.clone());
    let (altered, made): (BTreeSet<String>, BTreeSet<String>) =
        names.partition(|name| is_live(name) || is_renamed(name));
    let removed: BTreeSet<String> = scope.removed.iter().map(|table| table.name.clone()).collect();
    let mut locked: BTreeSet<String> = altered.union(&removed).filter(|name| is_live(name)).cloned().collect();
    locked.extend(scope.renamed.iter().map(|(old, _)| old.name.clone()));
    locked.extend(parents(wanted).chain(parents(present)).filter(|name| is_live(name)));
    Some(Alteration {
        before: sql(before),
        inside: sql(inside),
        search_path: synchronisation.search_path,
        altered,
        made,
        renamed: scope.renamed.iter().map(|(old, new)| (old.name.clone(), new.name.clone())).collect(),
        removed,
        lost_columns,
        converts,
        locked: locked.iter().map(|name| qualified(home, name)).collect(),
    })
}

/// Whether something that others added to a table would be dropped or get another name: the table goes with it; a column
/// takes its indexes and constraints along, or is itself of others. PostgreSQL itself refuses what policies read.
fn loses_additions(table: &PushedTableRecord, lost_columns: &[String], renames: &[Rename], scope: &Scope<'_>) -> bool {
    let is_added = |column: &str| table.added.contains(&format!("column {column}"));
    let is_part = |part: &String| ["index ", "constraint ", "statistics "].iter().any(|word| part.starts_with(word));
    let prefix = format!("{}.", table.name);
    let mut lost = lost_columns.iter().filter_map(|column| column.strip_prefix(&prefix));
    let old_names =
        renames.iter().filter(|rename| rename.table == table.name).filter_map(|rename| rename.column.as_ref());
    let is_removed = scope.removed.iter().any(|removed| removed.name == table.name);
    (is_removed && !table.added.is_empty())
        || old_names.into_iter().any(|column| is_added(column))
        || lost.any(|column| is_added(column) || table.added.iter().any(is_part))
}

/// Tables that foreign keys refer to.
fn parents(catalog: &Catalog) -> impl Iterator<Item = String> {
    catalog.objects.iter().filter_map(|object| match &object.facts {
        ObjectFacts::Constraint(constraint) => Some(constraint.foreign_key.as_ref()?.table.clone()),
        _ => None,
    })
}

/// The columns of a present table that stay, by their new names, in order.
fn columns_after<'a>(
    present: &'a Catalog,
    name: &str,
    wanted: &TableDefinition,
    renames: &'a [Rename],
) -> Vec<&'a str> {
    let columns = present.tables().filter(|(there, _)| *there == name).flat_map(|(_, table)| &table.columns);
    columns.map(|column| new_name(name, &column.name, renames)).filter(|name| wanted.column(name).is_some()).collect()
}

/// Whether the columns that stay are the first ones of the table.
fn is_appended(table: &TableDefinition, staying: &[&str]) -> bool {
    table.columns.iter().zip(staying).all(|(column, name)| column.name == *name)
}

fn new_name<'a>(table: &str, column: &'a str, renames: &'a [Rename]) -> &'a str {
    let rename = renames.iter().find(|rename| rename.table == table && rename.column.as_deref() == Some(column));
    rename.map_or(column, |rename| rename.new.as_str())
}

/// Columns that are only in the present tables.
fn lost_columns(wanted: &Catalog, present: &Catalog, renames: &[Rename]) -> Vec<String> {
    let mut lost = Vec::new();
    for (name, there) in present.all_tables() {
        let wanted = wanted.object(&ObjectName::new(ObjectKind::Table, &name.schema, &name.name));
        let Some(ObjectFacts::Table(table)) = wanted.map(|object| &object.facts) else { continue };
        let is_gone = |column: &&ColumnDefinition| table.column(new_name(&name.name, &column.name, renames)).is_none();
        lost.extend(there.columns.iter().filter(is_gone).map(|column| format!("{}.{}", name.name, column.name)));
    }
    lost
}
