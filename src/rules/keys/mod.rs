//! Keys, constraints, indexes, defaults and identities: what of the source's schema each planned table gets, and what
//! becomes of every object.

use std::collections::BTreeMap;

use super::naming::Namespace;
use crate::model::{Finding, TablePlan, conversion_plan::ObjectPlan, source_schema::SourceSchema};

/// What was counted in the source beyond column profiles. Tables and columns by their source names; indexes count
/// from 0 in the order of the [`SourceSchema`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConstraintFacts {
    /// Child rows without a parent, per table and foreign key. Absent: not countable.
    pub orphans: BTreeMap<(String, usize), u64>,
    /// Rows that break a CHECK, per table and check. Absent: not countable.
    pub check_violations: BTreeMap<(String, usize), u64>,
    /// NULLs in NOT NULL columns, where there are any, per table and column.
    pub nulls_in_not_null: BTreeMap<(String, String), u64>,
    /// Rows with a NULL in the primary key, per table, where there are any.
    pub nulls_in_primary_key: BTreeMap<String, u64>,
    /// The greatest rowid alias per table; absent for an empty table.
    pub greatest_alias: BTreeMap<String, i64>,
}

/// What `carry` found out.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// What becomes of every object.
    pub objects: Vec<ObjectPlan>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// Fills primary key, UNIQUE constraints, indexes, checks, foreign keys, identity, and the columns' NOT NULL and
/// DEFAULT. `tables` arrive with names, columns, types and profiles, in any subset of the schema's tables.
#[must_use]
pub fn carry(
    _schema: &SourceSchema,
    _facts: &ConstraintFacts,
    _namespace: &mut Namespace,
    _tables: &mut [TablePlan],
) -> Carried {
    Carried::default()
}
