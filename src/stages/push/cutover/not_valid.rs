//! Constraints that are NOT VALID. Rows from before them may break them. A rollback writes such rows again, so it drops
//! these constraints and adds them again as they were, in its own transaction.

use std::collections::BTreeSet;

use crate::{
    error::Result,
    model::identifier::quote_literal,
    postgres::{Session, session::Row},
};

/// A constraint that is NOT VALID.
pub(super) struct NotValidConstraint {
    /// The table that has it, as SQL.
    relation: String,
    /// The name of that table.
    pub(super) table: String,
    /// The table that a foreign key points to, as SQL.
    parent: Option<String>,
    /// Its name, as SQL.
    name: String,
    /// Its definition, which ends with NOT VALID.
    definition: String,
    comment: Option<String>,
    /// Whether rows of its own table are written.
    pub(super) is_of_written_rows: bool,
}

/// A constraint that a partition or a child table inherits goes and comes with that of its parent. A constraint that is
/// not enforced checks nothing. `$1` are tables whose rows are written, `$2` tables from which rows are removed, `$3`
/// those of the record. Rows of a partitioned table are in its partitions, which can have constraints of their own.
const NOT_VALID: &str = "WITH written(oid) AS (\
       SELECT o FROM unnest($1::oid[]) o UNION SELECT t.relid::oid FROM unnest($1::oid[]) o, pg_partition_tree(o) t), \
     removed(oid) AS (\
       SELECT o FROM unnest($2::oid[]) o UNION SELECT t.relid::oid FROM unnest($2::oid[]) o, pg_partition_tree(o) t) \
     SELECT format('%I.%I', n.nspname, c.relname), c.relname::text, \
       CASE WHEN k.contype = 'f' THEN format('%I.%I', m.nspname, p.relname) END, quote_ident(k.conname), \
       pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'), \
       k.conrelid IN (SELECT w.oid FROM written w) \
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace m ON m.oid = p.relnamespace \
     WHERE NOT k.convalidated AND k.contype IN ('c', 'f', 'n') AND k.conparentid = 0 AND k.coninhcount = 0 \
       AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) \
       AND (k.conrelid IN (SELECT w.oid FROM written w) \
         OR (k.confrelid IN (SELECT r.oid FROM removed r) AND k.conrelid = ANY ($3))) ORDER BY 1, 4";

/// The constraints that can refuse the rows of `written`, and the foreign keys of `recorded` tables that can refuse, or
/// take action on, the removal of rows from `removed`. All are OIDs.
///
/// # Errors
/// `Target*`.
pub(super) async fn read(
    control: &Session,
    written: &[u32],
    removed: &[u32],
    recorded: &[u32],
) -> Result<Vec<NotValidConstraint>> {
    let doing = "looking for constraints that are not valid";
    let rows = control.query_rows(doing, NOT_VALID, &[&written, &removed, &recorded]).await?;
    let constraint = |row: &Row<'_>| {
        Ok(NotValidConstraint {
            relation: row.get(0)?,
            table: row.get(1)?,
            parent: row.get(2)?,
            name: row.get(3)?,
            definition: row.get(4)?,
            comment: row.get(5)?,
            is_of_written_rows: row.get(6)?,
        })
    };
    rows.iter().map(constraint).collect()
}

/// The statements that drop them, and those that add them again.
pub(super) fn statements(constraints: &[NotValidConstraint]) -> (Vec<String>, Vec<String>) {
    let drop = |one: &NotValidConstraint| format!("ALTER TABLE {} DROP CONSTRAINT {} RESTRICT", one.relation, one.name);
    let mut added = Vec::new();
    for NotValidConstraint { relation, name, definition, comment, .. } in constraints {
        added.push(format!("ALTER TABLE {relation} ADD CONSTRAINT {name} {definition}"));
        let comment = comment.as_ref().map(|text| quote_literal(text));
        added.extend(comment.map(|text| format!("COMMENT ON CONSTRAINT {name} ON {relation} IS {text}")));
    }
    (constraints.iter().map(drop).collect(), added)
}

/// The tables that these statements lock against everybody, as SQL.
pub(super) fn locked(constraints: &[NotValidConstraint]) -> BTreeSet<String> {
    constraints.iter().flat_map(|one| one.parent.iter().chain([&one.relation])).cloned().collect()
}
