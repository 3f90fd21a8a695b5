//! Plans keys, constraints, indexes, defaults and identities: which of the source's schema each planned table gets, and
//! the outcome of every object.
//!
//! Invariant: every table, index and skipped object of the source, and every check, foreign key and generated column,
//! ends as exactly one [`ObjectPlan`]; whatever isn't carried as it is has a finding. A constraint is only carried in
//! a form that the source's rows satisfy, or as NOT VALID.

mod column_options;

mod checks;

mod generated;

mod indexes;

mod unique;

mod vector;

mod foreign_keys;

mod others;

mod full_text;

mod index_key_size;

use std::collections::{BTreeMap, BTreeSet};

use super::identifiers::{self, Name, Namespace};
use crate::model::{
    Finding, FindingCode, Severity, TablePlan,
    conversion_plan::{ColumnPlan, ObjectPlan, Outcome},
    source_schema::{IndexOrigin, SourceIndex, SourceSchema, SourceTable},
};

pub(crate) use foreign_keys::{Reference, resolve};
pub use full_text::add as add_search;

/// Whether both name the same columns, in whatever order.
fn same_set(one: &[String], other: &[String]) -> bool {
    let within = |one: &[String], other: &[String]| {
        one.iter().all(|name| other.iter().any(|found| found.eq_ignore_ascii_case(name)))
    };
    within(one, other) && within(other, one)
}

/// What was counted in the source beyond column profiles. Tables by their source names; foreign keys and checks count
/// from 0 in the order of the [`SourceSchema`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConstraintStats {
    /// Child rows without a parent, per table and foreign key. Absent: not countable.
    pub orphans: BTreeMap<(String, usize), u64>,
    /// Rows that break a CHECK, per table and check. Absent: not countable.
    pub check_violations: BTreeMap<(String, usize), u64>,
    /// Rows with a NULL in the primary key, per table, where there are any.
    pub nulls_in_primary_key: BTreeMap<String, u64>,
    /// Rowids of the first rows that break something, where the table has rowids.
    pub first: BTreeMap<(String, ViolatedConstraint), Vec<i64>>,
    /// The greatest rowid alias per table; absent for an empty table.
    pub greatest_alias: BTreeMap<String, i64>,
}

/// What rows break. Numbers as in [`ConstraintStats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ViolatedConstraint {
    /// A foreign key.
    ForeignKey(usize),
    /// A CHECK.
    Check(usize),
    /// The primary key, by a NULL in it.
    PrimaryKey,
}

impl ConstraintStats {
    /// Where the first rows are, as the end of a sentence; empty if that isn't known.
    fn places(&self, table: &str, broken: ViolatedConstraint) -> String {
        let Some(rowids) = self.first.get(&(table.to_owned(), broken)) else { return String::new() };
        let rowids: Vec<String> = rowids.iter().map(ToString::to_string).collect();
        format!(" (first at rowid {})", rowids.join(", "))
    }
}

/// What `carry` found out.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// What becomes of every object, in the order of the source.
    pub objects: Vec<ObjectPlan>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// Fills primary key, UNIQUE constraints, indexes, checks, foreign keys, identity, and the columns' NOT NULL and
/// DEFAULT. `tables` arrive with names, columns, types and profiles, in any subset of the schema's tables; `whole` is
/// the schema with the keys that PostgreSQL can't have.
#[must_use]
pub fn carry(
    schema: &SourceSchema,
    whole: &SourceSchema,
    facts: &ConstraintStats,
    namespace: &mut Namespace,
    tables: &mut [TablePlan],
) -> Carried {
    let mut work = ConstraintContext::new((schema, whole), facts, namespace, tables);
    for (position, source) in schema.tables.iter().enumerate() {
        let planned = tables.iter_mut().find(|plan| plan.source == source.name);
        let Some(plan) = planned else {
            others::left_out(&mut work, position, source);
            continue;
        };
        let mut seat = TableContext { position, source, plan };
        others::table(&mut work, &seat);
        // First, as the order of an index depends on it.
        checks::not_null(&mut work, &mut seat);
        unique::primary_key(&mut work, &mut seat);
        unique::constraints(&mut work, &mut seat);
        indexes::created(&mut work, &mut seat);
        checks::carry(&mut work, &mut seat);
        column_options::carry(&mut work, &mut seat);
        // Last, as what was translated before must name the column, not its expression.
        generated::carry(&mut work, &mut seat);
    }
    // Foreign keys need the keys of all tables.
    for (position, source) in schema.tables.iter().enumerate() {
        foreign_keys::carry(&mut work, position, source, tables);
    }
    others::rest(&mut work);
    work.finish()
}

/// One table: where it stands in the source, what the source says, what is planned.
struct TableContext<'a> {
    position: usize,
    source: &'a SourceTable,
    plan: &'a mut TablePlan,
}

impl TableContext<'_> {
    /// The planned column of a source name.
    fn column(&self, name: &str) -> Option<&ColumnPlan> {
        self.plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name))
    }

    fn column_mut(&mut self, name: &str) -> Option<&mut ColumnPlan> {
        self.plan.columns.iter_mut().find(|column| column.source.eq_ignore_ascii_case(name))
    }

    /// The planned columns of these source names; none if one is missing.
    fn columns(&self, names: &[String]) -> Option<Vec<&ColumnPlan>> {
        names.iter().map(|name| self.column(name)).collect()
    }
}

/// What is collected on the way.
struct ConstraintContext<'a> {
    schema: &'a SourceSchema,
    /// With the keys that PostgreSQL can't have.
    whole: &'a SourceSchema,
    facts: &'a ConstraintStats,
    namespace: &'a mut Namespace,
    /// Names of the source's indexes and key constraints, claimed before any name is made up.
    claimed: BTreeMap<(usize, String), Name>,
    /// Constraint names per table.
    constraints: BTreeMap<usize, BTreeSet<String>>,
    objects: Vec<(usize, ObjectPlan)>,
    findings: Vec<Finding>,
}

impl<'a> ConstraintContext<'a> {
    fn new(
        (schema, whole): (&'a SourceSchema, &'a SourceSchema),
        facts: &'a ConstraintStats,
        namespace: &'a mut Namespace,
        tables: &[TablePlan],
    ) -> Self {
        let mut work = Self {
            schema,
            whole,
            facts,
            namespace,
            claimed: BTreeMap::new(),
            constraints: BTreeMap::new(),
            objects: Vec::new(),
            findings: Vec::new(),
        };
        let planned = |source: &SourceTable| tables.iter().any(|plan| plan.source == source.name);
        let seats: Vec<_> = schema.tables.iter().enumerate().filter(|(_, source)| planned(source)).collect();
        // Index names are unique in SQLite; constraint names need not be, and give way.
        for (position, source) in &seats {
            for index in source.indexes.iter().filter(|index| index.origin == IndexOrigin::Created) {
                work.claim(*position, &index.name, &index.name);
            }
        }
        for (position, source) in &seats {
            for index in &source.indexes {
                if let Some(name) = &index.constraint_name {
                    work.claim(*position, &index.name, name);
                }
            }
            let has_index = source.indexes.iter().any(|index| index.origin == IndexOrigin::PrimaryKey);
            if let Some(name) = source.primary_key_name.as_ref().filter(|_| !has_index) {
                work.claim(*position, unique::PRIMARY_KEY, name);
            }
        }
        work
    }

    fn claim(&mut self, position: usize, index: &str, wanted: &str) {
        let name = self.namespace.relation(wanted);
        self.claimed.insert((position, index.to_owned()), name);
    }

    /// The PostgreSQL name of an index or key: the source's own, or `made_up` as far as it is free.
    fn relation(&mut self, seat: &TableContext<'_>, index: &str, made_up: &str) -> String {
        let name = match self.claimed.remove(&(seat.position, index.to_owned())) {
            Some(name) => {
                if let Some(reason) = name.changed {
                    self.renamed(seat, index, &name.name, reason);
                }
                name.name
            }
            None => self.namespace.relation(made_up).name,
        };
        self.constraints.entry(seat.position).or_default().insert(name.clone());
        name
    }

    /// The PostgreSQL name of a check or foreign key: the source's own, or `made_up`, as far as the table has it free.
    fn constraint(&mut self, position: usize, table: &str, own: Option<&str>, made_up: &str) -> String {
        let taken = self.constraints.entry(position).or_default();
        let name = identifiers::constraint(own.unwrap_or(made_up), self.namespace.identifiers(), taken);
        if let (Some(own), Some(reason)) = (own, name.changed) {
            let message = format!("the constraint is called {} in PostgreSQL: {reason}", name.name);
            self.find(Finding::new(FindingCode::NameChanged, Severity::Info, message).at_table(table).at_column(own));
        }
        name.name
    }

    fn renamed(&mut self, seat: &TableContext<'_>, own: &str, name: &str, reason: &str) {
        let message = format!("it is called {name} in PostgreSQL: {reason}");
        let finding = Finding::new(FindingCode::NameChanged, Severity::Info, message);
        self.find(finding.at_table(&seat.source.name).at_column(own));
    }

    fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn object(&mut self, position: usize, kind: &str, source: &str, table: &str, outcome: Outcome, reason: &str) {
        let object = ObjectPlan {
            kind: kind.to_owned(),
            source: source.to_owned(),
            table: table.to_owned(),
            outcome,
            reason: reason.to_owned(),
        };
        self.objects.push((position, object));
    }

    fn finish(mut self) -> Carried {
        self.objects.sort_by_key(|(position, _)| *position);
        Carried { objects: self.objects.into_iter().map(|(_, object)| object).collect(), findings: self.findings }
    }
}

/// What an index is called in a message: its constraint's name or its own.
fn label(index: &SourceIndex) -> &str {
    index.constraint_name.as_deref().unwrap_or(&index.name)
}
