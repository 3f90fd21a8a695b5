//! Compares the objects of a server with those of an existing schema, as the plan has them.
//!
//! Servers of one major version print one definition in the same words. Of others only the facts are compared: columns
//! with their types, NOT NULL, the columns of keys.

use std::collections::BTreeMap;

use super::{Difference, schema::SchemaAnswer};
use crate::{
    error::Result,
    model::{
        Plan, TablePlan,
        catalog::{
            Catalog, CatalogObject, ColumnDefinition, ObjectFacts, ObjectKind, ObjectName, SequenceDefinition,
            TableDefinition,
        },
        existing_schema::{ExistingSchema, WeakerForm},
        identifier::{qualified, quote_ident, quote_literal},
        weakened_objects,
    },
    postgres::{Role, Session, catalog},
};

/// Compares a server's schema with the plan; gives what was found by source table.
///
/// # Errors
/// By role.
pub(super) async fn against_plan(
    session: &Session,
    schema: &str,
    plan: &Plan,
    existing: &ExistingSchema,
    tables: &[TablePlan],
) -> Result<BTreeMap<String, SchemaAnswer>> {
    session.batch("comparing the schema", "BEGIN TRANSACTION READ ONLY").await?;
    let mut found = catalog::read(session, Some(schema)).await?;
    session.batch("comparing the schema", "ROLLBACK").await?;
    rename(&mut found, schema, &existing.catalog.schema);
    let comparison = Comparison { plan, existing, found: &found, role: session.role() };
    let mut answers = BTreeMap::new();
    for table in tables {
        let mut answer = comparison.table(table);
        if answer.present {
            generated(session, schema, table, &mut answer).await?;
            sequence(session, schema, table, &mut answer).await?;
        }
        answers.insert(table.source.clone(), answer);
    }
    if let Some(first) = tables.first().and_then(|table| answers.get_mut(&table.source)) {
        first.differences.extend(comparison.other_objects());
    }
    Ok(answers)
}

/// The objects of one schema are compared with those of another.
fn rename(catalog: &mut Catalog, from: &str, to: &str) {
    for object in catalog.objects.iter_mut().filter(|object| object.name.schema == from) {
        to.clone_into(&mut object.name.schema);
    }
}

struct Comparison<'a> {
    plan: &'a Plan,
    existing: &'a ExistingSchema,
    found: &'a Catalog,
    role: Role,
}

impl Comparison<'_> {
    fn table(&self, table: &TablePlan) -> SchemaAnswer {
        let mut answer = SchemaAnswer::default();
        let name = ObjectName::new(ObjectKind::Table, &self.existing.catalog.schema, &table.name);
        let note = |what: String| Difference::new(self.role, &table.source, what);
        let wanted = self.existing.catalog.object(&name).map(|object| &object.facts);
        let found = self.found.object(&name).map(|object| &object.facts);
        let (Some(ObjectFacts::Table(wanted)), Some(ObjectFacts::Table(found))) = (wanted, found) else {
            // The off-type table is the tool's own.
            let is_there = found.is_some();
            answer.present = is_there;
            if !is_there {
                answer.differences.push(note("table missing".to_owned()));
            }
            return answer;
        };
        answer.present = true;
        self.columns(table, wanted, found, &mut answer);
        for object in self.existing.catalog.objects_of(&table.name).filter(|object| self.is_expected(object)) {
            answer.differences.extend(self.object(object).map(note));
        }
        for object in self.found.objects_of(&table.name) {
            let planned = self.existing.catalog.object(&object.name);
            let guards = matches!(object.name.kind, ObjectKind::Constraint | ObjectKind::Index | ObjectKind::Trigger);
            if guards && planned.is_none_or(|planned| weakened_objects::is_dropped(self.plan, planned)) {
                answer.differences.push(note(format!("{} added", object.name.words(&self.existing.catalog.schema))));
            }
        }
        answer
    }

    fn columns(&self, table: &TablePlan, wanted: &TableDefinition, found: &TableDefinition, answer: &mut SchemaAnswer) {
        // Expressions on a column that has the type of its domain are printed in other words.
        let of_table = self.plan.weakened.iter().filter(|weakened| weakened.name.name == table.name);
        let has_base_type = of_table.into_iter().any(|one| matches!(one.form, WeakerForm::BaseType { .. }));
        let same_version = self.same_version() && !has_base_type;
        for column in &wanted.columns {
            let source = table.column(&column.name).map(|plan| plan.source.clone());
            let mut note = |what: String| {
                answer
                    .differences
                    .push(Difference { column: source.clone(), ..Difference::new(self.role, &table.source, what) });
            };
            let column = &self.weakened(table, column);
            let Some(there) = found.column(&column.name) else {
                note("column missing".to_owned());
                answer.unusable.insert(column.name.clone());
                continue;
            };
            if there.data_type != column.data_type {
                note(format!("type is {}, expected {}", there.data_type, column.data_type));
                answer.unusable.insert(column.name.clone());
            }
            if there.not_null != column.not_null {
                note(if column.not_null { "NOT NULL is missing" } else { "NOT NULL is added" }.to_owned());
            }
            if there.identity.is_some() != column.identity.is_some() {
                note("its identity differs".to_owned());
            }
            if there.collation != column.collation {
                note("its collation differs".to_owned());
            }
            let present = |column: &ColumnDefinition| (column.default.is_some(), column.generated.is_some());
            let differs = if same_version {
                (&there.default, &there.generated, identity_of(there))
                    != (&column.default, &column.generated, identity_of(column))
            } else {
                present(there) != present(column)
            };
            if differs {
                note("its default, identity or generating expression differs".to_owned());
            }
        }
        for column in found.columns.iter().filter(|column| wanted.column(&column.name).is_none()) {
            answer.differences.push(Difference::new(self.role, &table.source, format!("column {} added", column.name)));
        }
    }

    /// The column as the plan decided it.
    fn weakened(&self, table: &TablePlan, column: &ColumnDefinition) -> ColumnDefinition {
        let mut column = column.clone();
        let forms = self
            .plan
            .weakened
            .iter()
            .filter(|weakened| weakened.name.kind == ObjectKind::Table && weakened.name.name == table.name);
        for weakened in forms {
            match &weakened.form {
                WeakerForm::NullAllowed { column: name } if *name == column.name => column.not_null = false,
                WeakerForm::BaseType { column: name, base } if *name == column.name => {
                    base.clone_into(&mut column.data_type);
                }
                _ => {}
            }
        }
        column
    }

    /// Objects that belong to no planned table.
    fn other_objects(&self) -> Vec<Difference> {
        let is_other = |object: &&CatalogObject| {
            let is_planned = |name: &str| self.plan.tables.iter().any(|table| table.name == name);
            let at_home = object.name.schema == self.existing.catalog.schema;
            !(at_home
                && (is_planned(&object.name.table)
                    || (object.name.kind == ObjectKind::Table && is_planned(&object.name.name))))
        };
        let objects = self.existing.catalog.objects.iter().filter(is_other).filter(|object| self.is_expected(object));
        let name = |object: &CatalogObject| {
            if object.name.table.is_empty() { object.name.name.clone() } else { object.name.table.clone() }
        };
        objects.filter_map(|object| Some(Difference::new(self.role, &name(object), self.object(object)?))).collect()
    }

    /// Whether the server must have the object.
    fn is_expected(&self, object: &CatalogObject) -> bool {
        let is_local = self.role == Role::Local;
        let needed = match object.name.kind {
            ObjectKind::Policy | ObjectKind::RowSecurity => !is_local,
            ObjectKind::Extension => self.existing.extensions.contains(&object.name.name),
            ObjectKind::Schema => object.name.name != "public",
            _ => true,
        };
        needed && !weakened_objects::is_dropped(self.plan, object)
    }

    /// What differs about an object.
    fn object(&self, wanted: &CatalogObject) -> Option<String> {
        let words = wanted.name.words(&self.existing.catalog.schema);
        let Some(found) = self.found.object(&wanted.name) else { return Some(format!("{words} is missing")) };
        let differs = match (&wanted.facts, &found.facts) {
            (ObjectFacts::Table(one), ObjectFacts::Table(other)) => columns_of(one) != columns_of(other),
            (ObjectFacts::Sequence(one), ObjectFacts::Sequence(other)) => one.without_state() != other.without_state(),
            (ObjectFacts::Constraint(one), ObjectFacts::Constraint(other)) if !self.same_version() => {
                (one.kind, &one.columns) != (other.kind, &other.columns)
            }
            (ObjectFacts::Index(one), ObjectFacts::Index(other)) if !self.same_version() => {
                (one.unique, &one.method, &one.columns) != (other.unique, &other.method, &other.columns)
            }
            _ => {
                self.same_version()
                    && self.is_comparable(wanted)
                    && weakened_objects::object(self.plan, wanted) != found.create
            }
        };
        differs.then(|| format!("{words} differs"))
    }

    /// Functions name their schema in their definition.
    fn is_comparable(&self, object: &CatalogObject) -> bool {
        object.name.kind != ObjectKind::Function || self.found.schema == self.existing.catalog.schema
    }

    fn same_version(&self) -> bool {
        self.found.version / 10_000 == self.existing.catalog.version / 10_000
    }
}

/// The identity of a column without what changes with every number.
fn identity_of(column: &ColumnDefinition) -> Option<(bool, &str, SequenceDefinition)> {
    let identity = column.identity.as_ref()?;
    Some((identity.always, identity.sequence.as_str(), identity.options.without_state()))
}

fn columns_of(table: &TableDefinition) -> Vec<(&str, &str)> {
    table.columns.iter().map(|column| (column.name.as_str(), column.data_type.as_str())).collect()
}

/// The next number must not be one that a row has. The application may have taken numbers since.
async fn sequence(session: &Session, schema: &str, table: &TablePlan, answer: &mut SchemaAnswer) -> Result<()> {
    let Some((identity, planned)) = table.identity.as_ref().and_then(|identity| Some((identity, identity.next?)))
    else {
        return Ok(());
    };
    let name = qualified(schema, &identity.sequence);
    let there = "SELECT to_regclass($1) IS NOT NULL";
    if !session.query_value::<bool>("looking for a sequence", there, &[&name]).await? {
        return Ok(());
    }
    // One that counts down must have come as far down.
    let sql = format!(
        "SELECT q.seqincrement > 0, least(sign(q.seqincrement) * ({planned} - CASE WHEN s.is_called \
           THEN s.last_value::numeric + q.seqincrement ELSE s.last_value END), 9223372036854775807)::bigint \
         FROM {name} AS s, pg_sequence AS q WHERE q.seqrelid = {}::regclass",
        quote_literal(&name)
    );
    let row = session.query_row("reading a next number", &sql, &[]).await?;
    let (ascends, missing): (bool, i64) = (row.get(0)?, row.get(1)?);
    if missing > 0 {
        let word = if ascends { "less" } else { "more" };
        let what = format!("the next number of its sequence is {missing} {word} than planned");
        let column = table.column(&identity.column).map(|column| column.source.clone());
        answer.differences.push(Difference { column, ..Difference::new(session.role(), &table.source, what) });
    }
    Ok(())
}

/// Generated columns must hold what their expressions give.
async fn generated(session: &Session, schema: &str, table: &TablePlan, answer: &mut SchemaAnswer) -> Result<()> {
    for column in &table.columns {
        let Some(expression) = &column.generated else { continue };
        if answer.unusable.contains(&column.name) {
            continue;
        }
        let sql = format!(
            "SELECT count(*) FROM {} AS t WHERE t.{}::text IS DISTINCT FROM (({expression})::{})::text",
            qualified(schema, &table.name),
            quote_ident(&column.name),
            column.pg_type
        );
        let rows: i64 = session.query_value("comparing a generated column", &sql, &[]).await?;
        if rows > 0 {
            let what = format!("{rows} rows have another value than the expression gives");
            let difference = Difference::new(session.role(), &table.source, what);
            answer.differences.push(Difference { column: Some(column.source.clone()), ..difference });
        }
    }
    Ok(())
}
