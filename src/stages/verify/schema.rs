//! Compares the schema of one side with the plan, and that of the target with the local PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Difference,
    catalog::{self, Column, Constraint, Table},
    expressions::{self, ExpressionPair},
    index_keys,
    schema_notes::{Notes, ServerComparison},
};
use crate::{
    error::Result,
    model::{
        ColumnPlan, PgType, TablePlan,
        conversion_plan::{ForeignKeyPlan, IdentityKind, KeyPlan},
        identifier::{qualified, quote_ident, quote_literal},
    },
    postgres::{Role, Session},
};

/// What was found out about one table's schema on one side.
#[derive(Debug, Clone, Default)]
pub(super) struct SchemaAnswer {
    /// Whether the table is there.
    pub(super) present: bool,
    /// PostgreSQL names of columns that are missing or of another type: their values can't be compared.
    pub(super) unusable: BTreeSet<String>,
    /// What differs from the plan.
    pub(super) differences: Vec<Difference>,
}

/// One server's catalog as far as the plan's tables are in it.
pub(super) struct SideCatalog {
    /// By PostgreSQL name.
    pub(super) tables: BTreeMap<String, Table>,
    /// The server's major version.
    pub(super) version: i32,
}

impl SideCatalog {
    /// Reads the catalog of a server.
    ///
    /// # Errors
    /// By role.
    pub(super) async fn read(session: &Session, schema: &str, tables: &[TablePlan]) -> Result<Self> {
        catalog::look_into(session, schema).await?;
        let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
        Ok(Self {
            tables: catalog::read(session, schema, &names).await?,
            version: catalog::major_version(session).await?,
        })
    }
}

/// Compares one table with the plan.
///
/// # Errors
/// By role.
pub(super) async fn against_plan(
    session: &Session,
    schema: &str,
    table: &TablePlan,
    found: Option<&Table>,
) -> Result<SchemaAnswer> {
    let mut notes = Notes::new(session.role(), table);
    let Some(found) = found else {
        notes.table("table missing");
        return Ok(SchemaAnswer { differences: notes.found, ..SchemaAnswer::default() });
    };
    if found.kind != "r" {
        notes.table("it is not an ordinary table");
        return Ok(SchemaAnswer { differences: notes.found, ..SchemaAnswer::default() });
    }
    if found.persistence != "p" {
        notes.table("the table is not kept after a crash (it is unlogged or temporary)");
    }
    if found.inherited {
        notes.table("other tables inherit from it");
    }
    let mut pairs = Vec::new();
    let unusable = columns(&mut notes, table, found, &mut pairs);
    constraints(&mut notes, table, found, &mut pairs);
    index_keys::compare(&mut notes, table, found, &mut pairs);
    sequence(&mut notes, table, found);
    let to_compare: Vec<ExpressionPair> = pairs.iter().map(|(_, _, pair)| pair.clone()).collect();
    let same = expressions::same(session, &qualified(schema, &table.name), &to_compare).await?;
    for ((column, what, _), same) in pairs.into_iter().zip(same) {
        if !same {
            notes.add(column, what);
        }
    }
    Ok(SchemaAnswer { present: true, unusable, differences: notes.found })
}

fn columns(
    notes: &mut Notes<'_>,
    table: &TablePlan,
    found: &Table,
    pairs: &mut Vec<ServerComparison>,
) -> BTreeSet<String> {
    let mut unusable = BTreeSet::new();
    for planned in &table.columns {
        let Some(there) = found.columns.iter().find(|column| column.name == planned.name) else {
            notes.column(planned, "column missing");
            unusable.insert(planned.name.clone());
            continue;
        };
        let expected = type_name(&planned.pg_type);
        // The catalog quotes a name only if it must.
        let is_named = matches!(&planned.pg_type, PgType::Enum(name) if there.type_name == *name);
        if there.type_name != expected && !is_named {
            notes.column(planned, format!("type is {}, expected {expected}", there.type_name));
            unusable.insert(planned.name.clone());
        }
        column(notes, table, planned, there, pairs);
    }
    for there in &found.columns {
        if table.column(&there.name).is_none() {
            notes.table(format!("column {} added", there.name));
        }
    }
    let known = |name: &&str| table.column(name).is_some() && found.columns.iter().any(|column| column.name == **name);
    let planned = table.columns.iter().map(|column| column.name.as_str()).filter(known);
    if !planned.eq(found.columns.iter().map(|column| column.name.as_str()).filter(known)) {
        notes.table("columns are in another order");
    }
    unusable
}

fn column(
    notes: &mut Notes<'_>,
    table: &TablePlan,
    planned: &ColumnPlan,
    there: &Column,
    pairs: &mut Vec<ServerComparison>,
) {
    let is_identity = table.identity.as_ref().is_some_and(|identity| identity.column == planned.name);
    let in_key = table.primary_key.as_ref().is_some_and(|key| key.columns.contains(&planned.name));
    let kind = table.identity.as_ref().filter(|_| is_identity).map(|identity| identity.kind);
    let is_numbered = kind.is_some_and(|kind| kind != IdentityKind::Serial);
    match (planned.not_null || is_numbered || in_key, there.not_null) {
        (true, false) => notes.column(planned, "NOT NULL is missing"),
        (false, true) => notes.column(planned, "NOT NULL is added"),
        _ => {}
    }
    match (kind, there.identity.as_str()) {
        (Some(IdentityKind::ByDefault), "d")
        | (Some(IdentityKind::Always), "a")
        | (Some(IdentityKind::Serial) | None, "") => {}
        (Some(IdentityKind::ByDefault | IdentityKind::Always), "") => {
            notes.column(planned, "it is not an identity column");
        }
        (Some(IdentityKind::ByDefault), _) => notes.column(planned, "identity is ALWAYS, expected BY DEFAULT"),
        (Some(IdentityKind::Always), _) => notes.column(planned, "identity is BY DEFAULT, expected ALWAYS"),
        (Some(IdentityKind::Serial) | None, _) => notes.column(planned, "it is an identity column"),
    }
    if there.collated {
        notes.column(planned, "its collation is not the default one");
    }
    // The schema is the first in the path, so that the name alone is enough.
    let owned = table.identity.as_ref().filter(|_| kind == Some(IdentityKind::Serial));
    let numbered = owned.map(|owned| format!("nextval({}::regclass)", quote_literal(&quote_ident(&owned.sequence))));
    let (word, expected) = match &planned.generated {
        Some(expression) => ("generating expression", Some(expression)),
        None => ("default", planned.default.as_ref().or(numbered.as_ref())),
    };
    if planned.generated.is_some() != (there.generated == "s") {
        notes.column(planned, if planned.generated.is_some() { "it is not generated" } else { "it is generated" });
        return;
    }
    match (expected, &there.expression) {
        (Some(planned_text), Some(found)) => {
            let as_type = Some(planned.pg_type.to_string()).filter(|_| numbered.is_none());
            let pair = ExpressionPair { planned: planned_text.clone(), found: found.clone(), as_type };
            pairs.push((Some(planned.source.clone()), format!("{word} differs"), pair));
        }
        (Some(_), None) => notes.column(planned, format!("{word} is missing")),
        (None, Some(_)) => notes.column(planned, format!("{word} is added")),
        (None, None) => {}
    }
}

fn constraints(notes: &mut Notes<'_>, table: &TablePlan, found: &Table, pairs: &mut Vec<ServerComparison>) {
    let mut known = BTreeSet::new();
    let keys = table.primary_key.iter().map(|key| ("p", "primary key", key));
    for (kind, words, planned) in keys.chain(table.uniques.iter().map(|key| ("u", "UNIQUE constraint", key))) {
        known.insert(planned.name.as_str());
        match found.constraints.get(&planned.name).filter(|there| there.kind == kind) {
            None => notes.table(format!("{words} {} is missing", planned.name)),
            Some(there) if is_key(planned, there) => {}
            Some(_) => notes.table(format!("{words} {} differs", planned.name)),
        }
    }
    for planned in &table.foreign_keys {
        known.insert(planned.name.as_str());
        match found.constraints.get(&planned.name).filter(|there| there.kind == "f") {
            None => notes.table(format!("foreign key {} is missing", planned.name)),
            Some(there) if is_foreign_key(planned, there) => {
                validity(notes, "foreign key", &planned.name, planned.not_valid, there);
            }
            Some(_) => notes.table(format!("foreign key {} differs", planned.name)),
        }
    }
    for planned in &table.checks {
        known.insert(planned.name.as_str());
        match found.constraints.get(&planned.name).filter(|there| there.kind == "c") {
            None => notes.table(format!("check {} is missing", planned.name)),
            Some(there) => {
                validity(notes, "check", &planned.name, planned.not_valid, there);
                let found = there.expression.clone().unwrap_or_default();
                let pair = ExpressionPair { planned: planned.expression.clone(), found, as_type: None };
                pairs.push((None, format!("check {} differs", planned.name), pair));
            }
        }
    }
    for planned in table.indexes.iter().filter(|index| index.is_exclusion()) {
        known.insert(planned.name.as_str());
        match found.constraints.get(&planned.name).filter(|there| there.kind == "x" && !there.deferrable) {
            None => notes.table(format!("exclusion constraint {} is missing", planned.name)),
            Some(there) if there.operators.iter().any(|operator| operator != "=") => {
                notes.table(format!("exclusion constraint {} differs", planned.name));
            }
            Some(_) => {}
        }
    }
    for name in found.constraints.keys().filter(|name| !known.contains(name.as_str())) {
        notes.table(format!("constraint {name} added"));
    }
}

fn is_key(planned: &KeyPlan, there: &Constraint) -> bool {
    planned.columns == there.columns && !there.deferrable && there.included == 0 && !there.nulls_equal
}

fn is_foreign_key(planned: &ForeignKeyPlan, there: &Constraint) -> bool {
    let letter = |action: &str| match action {
        "RESTRICT" => 'r',
        "CASCADE" => 'c',
        "SET NULL" => 'n',
        "SET DEFAULT" => 'd',
        _ => 'a',
    };
    let actions: String = [letter(&planned.on_update), letter(&planned.on_delete), 's'].into_iter().collect();
    planned.columns == there.columns
        && there.parent.as_ref() == Some(&planned.parent)
        && planned.parent_columns == there.parent_columns
        && actions == there.actions
        && (planned.deferred, planned.deferred) == (there.deferrable, there.deferred)
}

fn validity(notes: &mut Notes<'_>, kind: &str, name: &str, not_valid: bool, there: &Constraint) {
    match (not_valid, there.validated) {
        (true, true) | (false, false) => {
            let is = if there.validated { "validated" } else { "not validated" };
            notes.table(format!("{kind} {name} is {is}, unlike planned"));
        }
        (true, false) | (false, true) => {}
    }
    if !there.enforced {
        notes.table(format!("{kind} {name} is not enforced"));
    }
}

/// The next number is compared without a report of its value: it follows from keys, which are values of rows.
fn sequence(notes: &mut Notes<'_>, table: &TablePlan, found: &Table) {
    let Some(identity) = &table.identity else { return };
    let Some(planned) = table.column(&identity.column) else { return };
    let Some(there) = found.columns.iter().find(|column| column.name == identity.column) else { return };
    let Some(sequence) = &there.sequence else {
        if !there.identity.is_empty() {
            notes.column(planned, "the sequence behind it can't be found");
        }
        return;
    };
    if sequence.name != identity.sequence {
        notes.column(planned, format!("its sequence is {}, expected {}", sequence.name, identity.sequence));
    }
    if sequence.increment != 1 || sequence.cycles {
        notes.column(planned, "its sequence doesn't count up by 1");
    }
    // Without a number that is left, the sequence stands at its end; numbers below 1 are out of its range.
    let most = match planned.pg_type {
        PgType::SmallInt => i64::from(i16::MAX),
        PgType::Integer => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    let (least, greatest, _) = sequence.limits;
    if least > 1 || greatest < most {
        notes.column(planned, "its sequence doesn't give all numbers of its type");
    }
    let expected = identity.next.unwrap_or(most).clamp(1, most);
    let (less, more) = (expected.saturating_sub(sequence.next), sequence.next.saturating_sub(expected));
    if less > 0 {
        notes.column(planned, format!("the next number of its sequence is {less} less than planned"));
    } else if more > 0 {
        notes.column(planned, format!("the next number of its sequence is {more} more than planned"));
    }
}

/// What the catalog's `format_type` says for a planned type.
pub(super) fn type_name(pg_type: &PgType) -> String {
    match pg_type {
        PgType::Varchar(n) => format!("character varying({n})"),
        PgType::Enum(_) | PgType::ExistingType(_) => pg_type.to_string(),
        PgType::Time => "time without time zone".to_owned(),
        PgType::Timestamp => "timestamp without time zone".to_owned(),
        PgType::TimestampTz => "timestamp with time zone".to_owned(),
        PgType::SmallInt
        | PgType::Integer
        | PgType::BigInt
        | PgType::Boolean
        | PgType::Double
        | PgType::Numeric(_)
        | PgType::Text
        | PgType::Bytea
        | PgType::Date
        | PgType::Uuid
        | PgType::Json
        | PgType::Jsonb
        | PgType::Vector(_)
        | PgType::HalfVec(_)
        | PgType::RealArray
        | PgType::DoubleArray
        | PgType::Bit(_) => pg_type.to_string(),
    }
}

/// What the plan doesn't say and must be equal on both servers, for a table in which both agree with the plan. Texts of
/// the catalog are compared on servers of one version only.
pub(super) fn against_local(table: &TablePlan, local: &Table, target: &Table, same_version: bool) -> Vec<Difference> {
    let mut notes = Notes::new(Role::Target, table);
    for (one, two) in local.columns.iter().zip(&target.columns) {
        let Some(planned) = table.column(&one.name) else { continue };
        if one.labels != two.labels {
            notes.column(planned, "the labels of its type are not the local ones");
        }
        let limits = |column: &Column| column.sequence.as_ref().map(|sequence| sequence.limits);
        if limits(one) != limits(two) {
            notes.column(planned, "the limits of its sequence are not the local ones");
        }
        if same_version && one.expression != two.expression {
            notes.column(planned, "its default or generating expression is not the local one");
        }
    }
    if !same_version {
        return notes.found;
    }
    for (name, one) in &local.constraints {
        if target.constraints.get(name).is_some_and(|two| two != one) {
            notes.table(format!("constraint {name} is not the local one"));
        }
    }
    for (name, one) in &local.indexes {
        if target.indexes.get(name).is_some_and(|two| two != one) {
            notes.table(format!("index {name} is not the local one"));
        }
    }
    notes.found
}
