//! Reads tables with their columns, constraints and indexes.

use std::collections::BTreeMap;

use super::{DOING, Reader, queries, unknown};
use crate::{
    error::Result,
    model::{
        catalog::{
            ColumnDefinition, ConstraintDefinition, ConstraintKind, ForeignKeyDefinition, IdentityDefinition,
            IndexDefinition, ObjectFacts, ObjectKind, ObjectName, SequenceDefinition, TableDefinition,
        },
        identifier::quote_ident,
    },
    postgres::session::Row,
};

/// A column, and if only a parent of its table declares it, the default and NOT NULL of the parent's column.
type InheritedColumn = (ColumnDefinition, Option<(Option<String>, bool)>);

impl Reader<'_> {
    /// Tables with their columns. `owned` are the statements that tie sequences to them.
    ///
    /// # Errors
    /// By role.
    pub(super) async fn tables(&mut self, owned: &BTreeMap<(String, String), Vec<String>>) -> Result<()> {
        let mut columns: BTreeMap<u32, Vec<InheritedColumn>> = BTreeMap::new();
        for row in self.session.query_rows(DOING, queries::COLUMNS, &[]).await? {
            let above = (row.get(23)?, row.get::<Option<bool>>(24)?.unwrap_or(false));
            let above = row.get::<bool>(21)?.then_some(above);
            columns.entry(row.get(0)?).or_default().push((column(&row)?, above));
        }
        for row in self.session.query_rows(DOING, queries::TABLES, &[]).await? {
            let oid = row.get(0)?;
            let (schema, name, written): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let found = columns.remove(&oid).unwrap_or_default();
            let table = TableDefinition {
                columns: found.iter().map(|(column, _)| column.clone()).collect(),
                unlogged: row.get(4)?,
                partition_by: row.get(5)?,
                partition_of: row.get::<Option<String>>(6)?.zip(row.get(7)?),
                inherits: row.get(8)?,
                options: row.get(9)?,
                settings: row.get(10)?,
                rows: None,
            };
            let mut create = vec![table.create_sql(&written)];
            create.extend(inherited_columns(&written, &found));
            create.extend(table.settings.iter().cloned());
            create.extend(owned.get(&(schema.clone(), name.clone())).into_iter().flatten().cloned());
            let name = ObjectName::new(ObjectKind::Table, &schema, &name);
            self.add((self.classes[0], oid), name, create, ObjectFacts::Table(table));
        }
        Ok(())
    }

    /// Constraints of tables.
    ///
    /// # Errors
    /// By role.
    pub(super) async fn constraints(&mut self) -> Result<()> {
        for row in self.session.query_rows(DOING, queries::CONSTRAINTS, &[]).await? {
            let (schema, table, name): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let constraint = constraint(&row)?;
            let (written, index): (String, Option<String>) = (row.get(17)?, row.get(18)?);
            let options: Vec<String> = row.get(19)?;
            let mut create =
                vec![format!("ALTER TABLE {written} ADD CONSTRAINT {} {}", quote_ident(&name), constraint.definition)];
            if let Some(index) = index.filter(|_| !options.is_empty()) {
                let index = format!("{}.{}", quote_ident(&schema), quote_ident(&index));
                create.push(format!("ALTER INDEX {index} SET ({})", options.join(", ")));
            }
            let name = ObjectName::of_table(ObjectKind::Constraint, &schema, &table, &name);
            self.add((self.classes[2], row.get(0)?), name, create, ObjectFacts::Constraint(constraint));
        }
        Ok(())
    }

    /// Indexes that belong to no constraint.
    ///
    /// # Errors
    /// By role.
    pub(super) async fn indexes(&mut self) -> Result<()> {
        for row in self.session.query_rows(DOING, queries::INDEXES, &[]).await? {
            let (schema, table, name): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let is_plain = !row.get::<bool>(7)?;
            let columns: Vec<String> = row.get(8)?;
            let index = IndexDefinition {
                unique: row.get(4)?,
                method: row.get(5)?,
                columns: is_plain.then_some(columns),
                keys: row.get(6)?,
                predicate: row.get(9)?,
            };
            let definition: String = row.get(10)?;
            // PostgreSQL prints ONLY for a partitioned table; without it the indexes of the partitions are created, too.
            let mut create = vec![definition.replacen(" ON ONLY ", " ON ", 1)];
            create.extend(row.get::<Vec<String>>(11)?);
            let name = ObjectName::of_table(ObjectKind::Index, &schema, &table, &name);
            self.add((self.classes[0], row.get(0)?), name, create, ObjectFacts::Index(index));
        }
        Ok(())
    }
}

fn column(row: &Row<'_>) -> Result<ColumnDefinition> {
    let (expression, generated): (Option<String>, String) = (row.get(7)?, row.get(9)?);
    let (default, generated_as) = if generated.is_empty() { (expression, None) } else { (None, expression) };
    let identity: String = row.get(10)?;
    let sequence: Option<String> = row.get(11)?;
    let identity = match sequence {
        Some(sequence) if !identity.is_empty() => Some(IdentityDefinition {
            always: identity == "a",
            sequence,
            options: SequenceDefinition {
                data_type: row.get(12)?,
                start: row.get(13)?,
                increment: row.get(14)?,
                least: row.get(15)?,
                most: row.get(16)?,
                cache: row.get(17)?,
                cycles: row.get(18)?,
                owner: None,
                next: row.get::<Option<i64>>(22)?.and_then(|last| last.checked_add(row.get::<i64>(14).ok()?)),
            },
        }),
        Some(_) | None => None,
    };
    Ok(ColumnDefinition {
        name: row.get(1)?,
        data_type: row.get(2)?,
        base_type: row.get(3)?,
        is_enum: row.get::<Option<bool>>(4)?.unwrap_or(false),
        collation: row.get(5)?,
        not_null: row.get(6)?,
        is_volatile: default.is_some() && row.get::<bool>(8)?,
        default,
        generated: generated_as,
        is_virtual: generated == "v",
        identity,
        sequence: row.get(19)?,
        is_read: row.get(20)?,
        is_inherited: row.get(21)?,
    })
}

/// Statements for inherited columns whose default or NOT NULL is not that of the parent.
fn inherited_columns(written: &str, columns: &[InheritedColumn]) -> Vec<String> {
    let mut sql = Vec::new();
    for (column, above) in columns.iter().filter(|(column, _)| column.generated.is_none()) {
        let Some((default, not_null)) = above else { continue };
        let alter = format!("ALTER TABLE ONLY {written} ALTER COLUMN {}", quote_ident(&column.name));
        match &column.default {
            Some(own) if column.default != *default => sql.push(format!("{alter} SET DEFAULT {own}")),
            None if default.is_some() => sql.push(format!("{alter} DROP DEFAULT")),
            _ => {}
        }
        if column.not_null && !not_null {
            sql.push(format!("{alter} SET NOT NULL"));
        }
    }
    sql
}

fn constraint(row: &Row<'_>) -> Result<ConstraintDefinition> {
    let kind = match row.get::<&str>(4)? {
        "p" => ConstraintKind::PrimaryKey,
        "u" => ConstraintKind::Unique,
        "c" => ConstraintKind::Check,
        "f" => ConstraintKind::ForeignKey,
        "x" => ConstraintKind::Exclusion,
        _ => return Err(unknown("a constraint of an unknown kind")),
    };
    let (schema, parent): (Option<String>, Option<String>) = (row.get(11)?, row.get(12)?);
    let foreign_key = match (kind, schema, parent) {
        (ConstraintKind::ForeignKey, Some(schema), Some(table)) => {
            let actions: &str = row.get(15)?;
            let mut actions = actions.chars().map(action);
            let mut next = || actions.next().unwrap_or("NO ACTION").to_owned();
            Some(ForeignKeyDefinition {
                schema,
                table,
                columns: row.get(13)?,
                match_full: row.get(14)?,
                on_update: next(),
                on_delete: next(),
            })
        }
        _ => None,
    };
    Ok(ConstraintDefinition {
        kind,
        columns: row.get(5)?,
        definition: row.get(6)?,
        expression: row.get(7)?,
        foreign_key,
        validated: row.get(8)?,
        deferrable: row.get(9)?,
        deferred: row.get(10)?,
    })
}

const fn action(letter: char) -> &'static str {
    match letter {
        'r' => "RESTRICT",
        'c' => "CASCADE",
        'n' => "SET NULL",
        'd' => "SET DEFAULT",
        _ => "NO ACTION",
    }
}
