//! Plans foreign keys (docs/conversion-rules.md, section 4.4). A key that rows break is carried NOT VALID: old rows
//! stay, new ones are checked.

use super::{ConstraintContext, ViolatedConstraint, same_set};
use crate::model::{
    ColumnPlan, Finding, FindingCode, PgType, Severity, TablePlan,
    conversion_plan::{ForeignKeyPlan, IndexPlan, Outcome},
    identifier::quote_ident,
    source_schema::{IndexKey, SourceForeignKey, SourceSchema, SourceTable, TableKind},
};

/// A foreign key's parent in the catalogue's spelling.
pub(crate) struct Reference<'a> {
    /// The parent.
    pub(crate) parent: &'a SourceTable,
    /// Its columns, one for each column of the child.
    pub(crate) columns: Vec<String>,
}

/// Finds the parent and its columns.
///
/// # Errors
/// Why SQLite itself can't enforce the key ("foreign key mismatch", or no such table).
pub(crate) fn resolve<'a>(schema: &'a SourceSchema, key: &SourceForeignKey) -> Result<Reference<'a>, &'static str> {
    let Some(parent) = schema.tables.iter().find(|table| table.name.eq_ignore_ascii_case(&key.parent)) else {
        let is_view = schema.views.iter().any(|view| view.name.eq_ignore_ascii_case(&key.parent));
        return Err(if is_view { "its parent is a view" } else { "there is no such parent table" });
    };
    if matches!(parent.kind, TableKind::Virtual { .. }) {
        return Err("its parent is a virtual table");
    }
    let wanted = key.parent_columns.as_ref().unwrap_or(&parent.primary_key);
    if wanted.is_empty() {
        return Err("its parent has no primary key");
    }
    if wanted.len() != key.columns.len() {
        return Err("its parent's key has another number of columns");
    }
    let spelled = |name: &String| {
        parent.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).map(|column| column.name.clone())
    };
    let columns: Option<Vec<String>> = wanted.iter().map(spelled).collect();
    let columns = columns.ok_or("its parent lacks a column that it names")?;
    if is_unique(parent, &columns) {
        Ok(Reference { parent, columns })
    } else {
        Err("the parent's columns are not unique by a constraint or a plain index")
    }
}

fn is_unique(parent: &SourceTable, columns: &[String]) -> bool {
    let by_index = parent.indexes.iter().filter(|index| index.unique && index.predicate.is_none()).any(|index| {
        let names: Vec<String> = index
            .columns
            .iter()
            .filter_map(|column| match &column.key {
                IndexKey::Column(name) => Some(name.clone()),
                IndexKey::Rowid | IndexKey::Expression(_) => None,
            })
            .collect();
        names.len() == index.columns.len() && same_set(&names, columns)
    });
    by_index || same_set(&parent.primary_key, columns)
}

/// Foreign keys of one table.
pub(super) fn carry(work: &mut ConstraintContext<'_>, position: usize, source: &SourceTable, tables: &mut [TablePlan]) {
    let Some(child) = tables.iter().position(|plan| plan.source == source.name) else { return };
    for (number, key) in source.foreign_keys.iter().enumerate() {
        let place = key.name.clone().unwrap_or_else(|| key.columns.join(", "));
        let object = key.name.clone().unwrap_or_else(|| format!("{} -> {}", key.columns.join(", "), key.parent));
        match plan(work, child, key, tables) {
            Ok(mut planned) => {
                let Some(table) = tables.get_mut(child) else { return };
                let made_up = format!("{}_{}_fkey", table.name, planned.columns.join("_"));
                planned.name = work.constraint(position, &source.name, key.name.as_deref(), &made_up);
                let orphans = work.facts.orphans.get(&(source.name.clone(), number)).copied();
                planned.not_valid = orphans != Some(0);
                if key.match_ignored {
                    let message = "its MATCH clause is left out: SQLite never looked at it";
                    let finding = Finding::new(FindingCode::ClauseNotCarried, Severity::Info, message);
                    work.find(finding.at_table(&source.name).at_column(&place));
                }
                if planned.not_valid {
                    let places = work.facts.places(&source.name, ViolatedConstraint::ForeignKey(number));
                    let finding = orphan_rows((&table.name, &planned.name), key, orphans, &places);
                    work.find(finding.at_table(&source.name).at_column(place));
                    let reason = "NOT VALID, as rows have no parent";
                    work.object(position, "foreign key", &object, &source.name, Outcome::Translated, reason);
                } else {
                    work.object(position, "foreign key", &object, &source.name, Outcome::Carried, "");
                }
                table.foreign_keys.push(planned);
            }
            Err((severity, reason)) => {
                work.object(position, "foreign key", &object, &source.name, Outcome::NotCarried, &reason);
                let message = format!("the foreign key to {} is not carried: {reason}", key.parent);
                let finding = Finding::new(FindingCode::ForeignKeyNotCarried, severity, message);
                work.find(finding.at_table(&source.name).at_column(place));
            }
        }
    }
}

fn columns<'a>(plan: &'a TablePlan, names: &[String]) -> Option<Vec<&'a ColumnPlan>> {
    let one = |name: &String| plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name));
    names.iter().map(one).collect()
}

/// The key in PostgreSQL's names, or why not. What SQLite can't enforce either guards nothing.
fn plan(
    work: &ConstraintContext<'_>,
    child: usize,
    key: &SourceForeignKey,
    tables: &[TablePlan],
) -> Result<ForeignKeyPlan, (Severity, String)> {
    let guarded = |reason: &str| (Severity::NeedsDecision, reason.to_owned());
    let reference = resolve(work.whole, key)
        .map_err(|reason| (Severity::Warning, format!("{reason}; SQLite can't enforce it either")))?;
    let left_out = || guarded("its parent is left out");
    let child = tables.get(child).ok_or_else(left_out)?;
    let parent = tables.iter().find(|plan| plan.source == reference.parent.name).ok_or_else(left_out)?;
    let children = columns(child, &key.columns).ok_or_else(|| guarded("one of its columns is left out"))?;
    let parents = columns(parent, &reference.columns).ok_or_else(|| guarded("a column of its parent is left out"))?;
    let names = |columns: &[&ColumnPlan]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let (columns_named, parents_named) = (names(&children), names(&parents));
    if !has_key(parent, &parents_named) {
        return Err(guarded("the parent's key is not carried as a constraint"));
    }
    if let Some((one, other)) =
        children.iter().zip(&parents).find(|(one, other)| !comparable(&one.pg_type, &other.pg_type))
    {
        return Err(guarded(&format!(
            "{} is {} and its parent {} is {}",
            one.source, one.pg_type, other.source, other.pg_type
        )));
    }
    Ok(ForeignKeyPlan {
        name: String::new(),
        columns: columns_named,
        parent: parent.name.clone(),
        parent_columns: parents_named,
        on_update: key.on_update.clone(),
        on_delete: key.on_delete.clone(),
        deferred: key.deferred,
        not_valid: false,
    })
}

/// Whether a constraint or a plain unique index of the plan is on these columns.
fn has_key(parent: &TablePlan, columns: &[String]) -> bool {
    let keys = parent.primary_key.iter().chain(&parent.uniques).any(|key| same_exactly(&key.columns, columns));
    let plain = |part: &String| columns.iter().find(|name| is_key_part(part, name)).cloned();
    let indexes = parent.indexes.iter().filter(|index| is_target(index)).any(|index| {
        let parts: Option<Vec<String>> = index.keys.iter().map(plain).collect();
        parts.is_some_and(|parts| same_exactly(&parts, columns))
    });
    keys || indexes
}

/// Whether a foreign key may refer to an index: not to one of an exclusion constraint.
fn is_target(index: &IndexPlan) -> bool {
    index.unique && index.predicate.is_none() && !index.is_exclusion()
}

fn is_key_part(part: &str, column: &str) -> bool {
    let order = part.strip_prefix(&quote_ident(column));
    order.is_some_and(|order| ["", " NULLS FIRST", " DESC NULLS LAST", " DESC"].contains(&order))
}

/// PostgreSQL wants each column of the parent's key once.
fn same_exactly(one: &[String], other: &[String]) -> bool {
    let within = |one: &[String], other: &[String]| one.iter().all(|name| other.contains(name));
    one.len() == other.len() && within(one, other) && within(other, one)
}

/// Whether PostgreSQL has an equality of child and parent for a foreign key (seen on 14 to 18).
fn comparable(child: &PgType, parent: &PgType) -> bool {
    let integer = |pg_type: &PgType| matches!(pg_type, PgType::SmallInt | PgType::Integer | PgType::BigInt);
    let numeric = |pg_type: &PgType| matches!(pg_type, PgType::Numeric(_));
    child == parent
        || (child.is_text() && parent.is_text())
        || (numeric(child) && numeric(parent))
        || (integer(child) && (integer(parent) || numeric(parent) || *parent == PgType::Double))
}

/// NOT VALID, and how to make it valid.
fn orphan_rows((table, name): (&str, &str), key: &SourceForeignKey, orphans: Option<u64>, places: &str) -> Finding {
    let what = match orphans {
        Some(_) => format!("rows have no parent in {}{places}", key.parent),
        None => format!("whether all rows have a parent in {} can't be found out in SQLite", key.parent),
    };
    let message = format!(
        "{what}; the foreign key is carried NOT VALID and guards new and changed rows; after repair: ALTER TABLE {} \
         VALIDATE CONSTRAINT {}",
        quote_ident(table),
        quote_ident(name)
    );
    let mut finding = Finding::new(FindingCode::OrphanRows, Severity::Warning, message);
    finding.count = orphans;
    finding
}
