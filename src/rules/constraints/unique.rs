//! Plans PRIMARY KEY and UNIQUE constraints (docs/conversion-rules.md, section 4.1;
//! docs/conversion-rules.md, section 4.3).

use super::{
    ConstraintContext, TableContext, ViolatedConstraint,
    index_key_size::{self, FittedKey, KeyPart},
    label, same_set,
};
use crate::model::{
    ColumnPlan, Finding, FindingCode, Severity,
    conversion_plan::{IndexPlan, KeyPlan, Outcome},
    identifier::quote_ident,
    source_schema::{IndexKey, IndexOrigin, SourceIndex, TableKind},
};

/// The name of a primary key that has none.
pub(super) const PRIMARY_KEY: &str = "PRIMARY KEY";

/// The primary key; UNIQUE where rows have NULL in it.
pub(super) fn primary_key(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>) {
    let source = seat.source;
    if source.primary_key.is_empty() || matches!(source.kind, TableKind::Virtual { .. }) {
        return;
    }
    let index = source.indexes.iter().find(|index| index.origin == IndexOrigin::PrimaryKey);
    let object = index.map_or_else(
        || source.primary_key_name.clone().unwrap_or_else(|| PRIMARY_KEY.to_owned()),
        |index| index.name.clone(),
    );
    let table = source.name.as_str();
    let Some(columns) = seat.columns(&source.primary_key) else {
        let reason = "one of its columns is left out";
        return dropped(work, seat, "primary key", &object, reason);
    };
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let fitted = match plain(&columns) {
        Ok(fitted) => fitted,
        Err(reason) => return dropped(work, seat, "primary key", &object, reason),
    };
    let counted = work.facts.nulls_in_primary_key.get(table).copied().unwrap_or(0);
    let nulls = counted.max(columns.iter().map(|column| column.evidence.nulls).max().unwrap_or(0));
    if nulls == 0 {
        for name in &source.primary_key {
            if let Some(column) = seat.column_mut(name) {
                column.not_null = true;
            }
        }
    }
    if fitted.change.is_some() {
        return too_long(work, seat, "primary key", &object, index, &source.primary_key);
    }
    let made_up = format!("{}_pkey", seat.plan.name);
    let name = work.relation(seat, index.map_or(PRIMARY_KEY, |index| index.name.as_str()), &made_up);
    let key = KeyPlan { name, columns: once(&names) };
    if nulls == 0 {
        seat.plan.primary_key = Some(key);
        work.object(seat.position, "primary key", &object, table, Outcome::Carried, "");
    } else {
        seat.plan.uniques.push(key);
        let reason = "rows have NULL in it, so it is a UNIQUE constraint, in which NULLs are distinct as in SQLite";
        work.object(seat.position, "primary key", &object, table, Outcome::Translated, reason);
        let finding = Finding::new(
            FindingCode::NullsInPrimaryKey,
            Severity::Warning,
            format!(
                "{reason}; PostgreSQL's primary keys have no NULLs{}",
                work.facts.places(table, ViolatedConstraint::PrimaryKey)
            ),
        );
        work.find(finding.at_table(table).at_column(source.primary_key.join(", ")).counting(nulls));
    }
    if let Some(index) = index {
        folded(work, seat, index, &names);
    }
}

/// UNIQUE constraints.
pub(super) fn constraints(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>) {
    let source = seat.source;
    for index in source.indexes.iter().filter(|index| index.origin == IndexOrigin::Unique) {
        let Some(columns) = columns_of(index).and_then(|names| seat.columns(&names)) else {
            dropped(work, seat, "unique", &index.name, "one of its columns is left out");
            continue;
        };
        let fitted = match plain(&columns) {
            Ok(fitted) => fitted,
            Err(reason) => {
                dropped(work, seat, "unique", &index.name, reason);
                continue;
            }
        };
        if fitted.change.is_some() {
            let wanted = columns_of(index).unwrap_or_default();
            too_long(work, seat, "unique", &index.name, Some(index), &wanted);
            continue;
        }
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let is_folded =
            index.columns.iter().zip(&columns).any(|(key, column)| folding(key.collation.as_deref(), column).is_some());
        if is_folded && !is_referenced(work, seat, index) {
            work.object(seat.position, "unique", &index.name, &source.name, Outcome::Translated, FOLDED);
            folded(work, seat, index, &names);
            continue;
        }
        let keys = seat.plan.primary_key.iter().chain(&seat.plan.uniques);
        if index.constraint_name.is_none() && keys.into_iter().any(|key| same_set(&key.columns, &names)) {
            let reason = "another key of the table has the same columns";
            work.object(seat.position, "unique", &index.name, &source.name, Outcome::Translated, reason);
        } else {
            let made_up = format!("{}_{}_key", seat.plan.name, names.join("_"));
            let name = work.relation(seat, &index.name, &made_up);
            seat.plan.uniques.push(KeyPlan { name, columns: once(&names) });
            let outcome = if is_folded { Outcome::Translated } else { Outcome::Carried };
            work.object(
                seat.position,
                "unique",
                &index.name,
                &source.name,
                outcome,
                if is_folded { FOLDED } else { "" },
            );
        }
        folded(work, seat, index, &names);
    }
}

/// The form of a key over columns as they are.
fn plain(columns: &[&ColumnPlan]) -> Result<FittedKey, &'static str> {
    columns.iter().try_for_each(|column| index_key_size::is_comparable(&column.pg_type))?;
    let parts: Vec<KeyPart> =
        columns.iter().map(|column| index_key_size::part(column, quote_ident(&column.name), "")).collect();
    index_key_size::fit(&parts, true)
}

/// A key whose values no B-tree takes is guarded by an index of another form.
fn too_long(
    work: &mut ConstraintContext<'_>,
    seat: &mut TableContext<'_>,
    kind: &str,
    object: &str,
    index: Option<&SourceIndex>,
    names: &[String],
) {
    let mut parts: Vec<KeyPart> = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let Some(column) = seat.column(name) else { continue };
        let collation = index.and_then(|index| index.columns.get(number)).and_then(|key| key.collation.as_deref());
        let sql = folding(collation, column).unwrap_or_else(|| quote_ident(&column.name));
        if !parts.iter().any(|part| part.sql == sql) {
            parts.push(index_key_size::part(column, sql, ""));
        }
    }
    let fitted = match index_key_size::fit(&parts, true) {
        Ok(fitted) => fitted,
        Err(reason) => return dropped(work, seat, kind, object, reason),
    };
    let suffix = if kind == "primary key" { "pkey".to_owned() } else { format!("{}_key", names.join("_")) };
    let made_up = format!("{}_{suffix}", seat.plan.name);
    let name = work.relation(seat, index.map_or(PRIMARY_KEY, |index| index.name.as_str()), &made_up);
    let reason = fitted.change.unwrap_or(FOLDED);
    let table = seat.source.name.as_str();
    work.object(seat.position, kind, object, table, Outcome::Translated, reason);
    let message = format!("the {kind} on {} is in another form: {reason}", names.join(", "));
    let finding = Finding::new(FindingCode::IndexChanged, Severity::Warning, message);
    work.find(finding.at_table(table).at_column(index.map_or(object, label)));
    seat.plan.indexes.push(IndexPlan {
        name,
        source: object.to_owned(),
        unique: true,
        method: fitted.method.to_owned(),
        keys: fitted.keys,
        predicate: None,
    });
}

const FOLDED: &str = "a unique index on folded values guards it, as PostgreSQL has no such collation";

/// Source names of the index's columns, if it has nothing else.
pub(super) fn columns_of(index: &SourceIndex) -> Option<Vec<String>> {
    let name = |key: &IndexKey| match key {
        IndexKey::Column(name) => Some(name.clone()),
        IndexKey::Rowid | IndexKey::Expression(_) => None,
    };
    index.columns.iter().map(|column| name(&column.key)).collect()
}

/// The key part that compares as the collation does, for a text column whose collation isn't BINARY.
pub(super) fn folding(collation: Option<&str>, column: &ColumnPlan) -> Option<String> {
    let name = quote_ident(&column.name);
    match collation? {
        _ if !column.pg_type.is_text() => None,
        "NOCASE" => Some(format!("lower({name} COLLATE \"C\")")),
        "RTRIM" => Some(format!("rtrim({name}, ' ')")),
        _ => None,
    }
}

/// A unique index that guards a key under its collation, where that is another than BINARY.
fn folded(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>, index: &SourceIndex, names: &[String]) {
    let mut keys = Vec::new();
    let mut is_folded = false;
    for (key, name) in index.columns.iter().zip(names) {
        let Some(column) = seat.plan.column(name) else { return };
        let folding = folding(key.collation.as_deref(), column);
        is_folded |= folding.is_some();
        if folding.is_none() && column.pg_type.is_text() && key.collation.is_some() {
            let message = "it was unique under a collation of the application's own; PostgreSQL compares exactly";
            let finding = Finding::new(FindingCode::CollationChanged, Severity::Warning, message);
            work.find(finding.at_table(&seat.source.name).at_column(label(index)));
        }
        keys.push(folding.unwrap_or_else(|| quote_ident(name)));
    }
    if !is_folded {
        return;
    }
    let made_up = format!("{}_{}_folded_key", seat.plan.name, names.join("_"));
    let name = work.relation(seat, &index.name, &made_up);
    let source = index.name.clone();
    seat.plan.indexes.push(IndexPlan { name, source, unique: true, method: "btree".to_owned(), keys, predicate: None });
    let finding = Finding::new(FindingCode::CollationChanged, Severity::Warning, FOLDED);
    work.find(finding.at_table(&seat.source.name).at_column(label(index)));
}

/// Whether a foreign key needs the plain constraint.
fn is_referenced(work: &ConstraintContext<'_>, seat: &TableContext<'_>, index: &SourceIndex) -> bool {
    let Some(columns) = columns_of(index) else { return false };
    let keys = work.schema.tables.iter().flat_map(|table| table.foreign_keys.iter().map(move |key| (table, key)));
    let mut references = keys.filter_map(|(_, key)| super::resolve(work.schema, key).ok());
    references.any(|reference| reference.parent.name == seat.source.name && same_set(&reference.columns, &columns))
}

/// Each name once: PostgreSQL refuses a key that repeats a column.
fn once(names: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        if !found.contains(name) {
            found.push(name.clone());
        }
    }
    found
}

/// A key that guards data and can't be carried.
pub(super) fn dropped(
    work: &mut ConstraintContext<'_>,
    seat: &TableContext<'_>,
    kind: &str,
    object: &str,
    reason: &str,
) {
    work.object(seat.position, kind, object, &seat.source.name, Outcome::NotCarried, reason);
    let message = format!("the uniqueness that it guards is lost: {reason}");
    let mut finding = Finding::new(FindingCode::UniqueNotCarried, Severity::NeedsDecision, message);
    finding.sql = seat.source.indexes.iter().find(|index| index.name == object).and_then(|index| index.sql.clone());
    work.find(finding.at_table(&seat.source.name).at_column(object));
}
