//! Puts the statements together: one pass backwards over what is there, one forwards over what is wanted.

use super::{
    Allowed, Change, Timing,
    alter_column::{Step, next_number},
    alter_object,
    alter_table::{TablePair, owned},
    compare::{comments_of, effect, gives_way, is_validation, table_of},
    difference::Effect,
    drop_object,
    dropped::{Dropped, is_of_type},
};
use crate::model::{
    catalog::{Catalog, CatalogObject, ConstraintKind, ObjectFacts, ObjectKind, ObjectName, TableDefinition},
    identifier::{qualified, quote_ident, quote_list, quote_literal},
};

struct Passes<'a> {
    wanted: &'a Catalog,
    present: &'a Catalog,
    dropped: Dropped,
    changes: Vec<Change>,
    /// Labels that are added, with the place of their statement.
    labels: Vec<(usize, String)>,
    /// Statements for the end.
    last: Vec<Change>,
    /// Indexes that can be built without blocking writers.
    deferrable: Vec<Change>,
}

/// The statements that make `present` like `wanted`, whatever they do.
pub(super) fn run(wanted: &Catalog, present: &Catalog, allowed: Allowed) -> Vec<Change> {
    let dropped = Dropped::find(wanted, present);
    let (changes, labels, last, deferrable) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut passes = Passes { wanted, present, dropped, changes, labels, last, deferrable };
    passes.leave();
    passes.backwards();
    passes.forwards();
    let mut last = std::mem::take(&mut passes.last);
    passes.changes.append(&mut last);
    passes.attributes(allowed);
    let mut deferrable = std::mem::take(&mut passes.deferrable);
    passes.changes.append(&mut deferrable);
    passes.time_labels();
    passes.changes
}

impl<'a> Passes<'a> {
    fn add(&mut self, name: &ObjectName, effect: Effect, sql: String) {
        let object = name.words(&self.wanted.schema);
        self.changes.push(Change { object, effect, timing: Timing::Inside, sql });
    }

    fn add_all(&mut self, name: &ObjectName, effect: Effect, statements: Vec<String>) {
        for sql in statements {
            self.add(name, effect, sql);
        }
    }

    fn add_steps(&mut self, name: &ObjectName, steps: Vec<Step>) {
        for (effect, sql) in steps {
            self.add(name, effect, sql);
        }
    }

    /// The effect of dropping something: it is gone, or it comes back.
    fn effect_of_drop(&self, name: &ObjectName) -> Effect {
        if self.wanted.object(name).is_some() { Effect::Replaces } else { Effect::Drops }
    }

    fn pair<'b>(&'b self, name: &'b ObjectName) -> Option<TablePair<'b>>
    where
        'a: 'b,
    {
        if self.dropped.has(self.present, name) {
            return None;
        }
        let (wanted, present) = (table_of(self.wanted, name)?, table_of(self.present, name)?);
        Some(TablePair { name, wanted, present, work: self.dropped.columns.get(name)? })
    }

    /// Ties that would take something along: sequences from columns, children from parents.
    fn leave(&mut self) {
        for object in &self.present.objects {
            let ObjectFacts::Sequence(old) = &object.facts else { continue };
            let Some((table, _)) = &old.owner else { continue };
            let Some(ObjectFacts::Sequence(new)) = self.wanted.object(&object.name).map(|object| &object.facts) else {
                continue;
            };
            let table = ObjectName::new(ObjectKind::Table, &object.name.schema, table);
            if new.owner != old.owner || self.dropped.has(self.present, &table) {
                let sql = format!("ALTER SEQUENCE {} OWNED BY NONE", written(&object.name));
                self.add(&object.name, Effect::Replaces, sql);
            }
        }
        for (name, _) in self.present.all_tables() {
            let steps = self.pair(name).map(|pair| pair.leave()).unwrap_or_default();
            self.add_steps(name, steps);
        }
    }

    fn backwards(&mut self) {
        for (place, object) in self.present.objects.iter().enumerate().rev() {
            let name = &object.name;
            if !self.dropped.places.contains(&place) {
                let steps = self.pair(name).map(|pair| pair.release()).unwrap_or_default();
                self.add_steps(name, steps);
                continue;
            }
            let gives_way = gives_way(self.wanted, object);
            let effect = if gives_way { Effect::Replaces } else { self.effect_of_drop(name) };
            match name.kind {
                ObjectKind::Type | ObjectKind::Domain | ObjectKind::Collation => self.drop_type(place, object),
                ObjectKind::Schema | ObjectKind::Extension => {
                    let sql = drop_object::statements(object);
                    let object = name.words(&self.wanted.schema);
                    let change = |sql| Change { object: object.clone(), effect, timing: Timing::Inside, sql };
                    self.last.extend(sql.into_iter().map(change));
                }
                ObjectKind::Table => {
                    if let Some(sql) = self.copy_rows(place, object) {
                        self.add(name, Effect::Narrows, sql);
                    }
                    let effect = if effect == Effect::Replaces { Effect::Narrows } else { effect };
                    self.add_all(name, effect, drop_object::statements(object));
                }
                kind if drop_object::goes_with_table(kind) && self.is_table_dropped(object) => {}
                _ => self.add_all(name, effect, drop_object::statements(object)),
            }
        }
    }

    /// Whether an object goes with its table. Foreign keys are dropped before: they may tie tables in a circle.
    fn is_table_dropped(&self, object: &CatalogObject) -> bool {
        let is_foreign_key =
            matches!(&object.facts, ObjectFacts::Constraint(found) if found.kind == ConstraintKind::ForeignKey);
        let kinds = [ObjectKind::Table, ObjectKind::View, ObjectKind::MaterializedView];
        let (schema, table) = (&object.name.schema, &object.name.table);
        let is_dropped = |kind: &ObjectKind| self.dropped.has(self.present, &ObjectName::new(*kind, schema, table));
        !is_foreign_key && kinds.iter().any(is_dropped)
    }

    /// A type that columns still have is renamed, and dropped when they have their new type.
    fn drop_type(&mut self, place: usize, object: &CatalogObject) {
        let name = &object.name;
        let effect = if self.wanted.object(name).is_some() { Effect::Narrows } else { Effect::Drops };
        let is_used = self.present.all_tables().any(|(table, definition)| {
            let kept = self.dropped.columns.get(table).filter(|_| self.pair(table).is_some());
            kept.is_some_and(|work| {
                let mut columns = definition.columns.iter();
                columns.any(|column| work.retyped.contains(&column.name) && is_of_type(self.present, name, column))
            })
        });
        if !is_used {
            return self.add_all(name, effect, drop_object::statements(object));
        }
        let word = name.kind.word().to_uppercase();
        let old = format!("_turso2neon_old_{place}");
        self.add(name, effect, format!("ALTER {word} {} RENAME TO {}", written(name), quote_ident(&old)));
        let sql = format!("DROP {word} {}", qualified(&name.schema, &old));
        let object = name.words(&self.wanted.schema);
        self.last.push(Change { object, effect, timing: Timing::Inside, sql });
    }

    /// Keeps the rows of a table that is created again. Those of a partition are in its parent.
    fn copy_rows(&self, place: usize, object: &CatalogObject) -> Option<String> {
        let (wanted, present) = (table_of(self.wanted, &object.name)?, table_of(self.present, &object.name)?);
        if self.is_parent_dropped(present) {
            return None;
        }
        let only = if present.partition_by.is_some() { "" } else { "ONLY " };
        let columns = quote_list(kept_columns(wanted, present));
        Some(format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {columns} FROM {only}{}",
            quote_ident(&rows_name(place)),
            written(&object.name)
        ))
    }

    fn is_parent_dropped(&self, table: &TableDefinition) -> bool {
        let Some((parent, _)) = &table.partition_of else { return false };
        let mut places = self.dropped.places.iter().filter_map(|place| self.present.objects.get(*place));
        places.any(|object| object.name.kind == ObjectKind::Table && self.present.is_type_name(&object.name, parent))
    }

    fn forwards(&mut self) {
        let last_table = self.wanted.objects.iter().rposition(|object| object.name.kind == ObjectKind::Table);
        for (place, object) in self.wanted.objects.iter().enumerate() {
            match self.present.object(&object.name) {
                Some(old) if !self.dropped.has(self.present, &object.name) => self.alter(object, old),
                old => self.create(object, old.is_some()),
            }
            if last_table == Some(place) {
                self.put_rows_back();
            }
        }
    }

    fn create(&mut self, object: &CatalogObject, was_there: bool) {
        let name = &object.name;
        let is_rebuilt = was_there && name.kind == ObjectKind::Table;
        let effect = match (was_there, is_rebuilt) {
            (false, _) => Effect::Adds,
            (true, true) => Effect::Narrows,
            (true, false) => Effect::Replaces,
        };
        if let ObjectFacts::Table(table) = &object.facts {
            self.add(name, effect, table.create_sql(&written(name)));
            self.add_all(name, effect, table.settings.clone());
            for (sequence, definition, _) in owned(self.wanted, name) {
                self.add(name, effect, alter_object::owned_by(sequence, definition));
            }
            return;
        }
        for sql in &object.create {
            if self.is_deferrable(object, was_there) {
                let words = name.words(&self.wanted.schema);
                self.deferrable.push(Change { object: words, effect, timing: Timing::Deferrable, sql: sql.clone() });
            } else {
                self.add(name, effect, sql.clone());
            }
        }
    }

    /// An index of a table that stays, which nothing needs. One that guards rows is not left out for a while.
    fn is_deferrable(&self, object: &CatalogObject, was_there: bool) -> bool {
        let ObjectFacts::Index(index) = &object.facts else { return false };
        let table = ObjectName::new(ObjectKind::Table, &object.name.schema, &object.name.table);
        let is_plain = self.pair(&table).is_some_and(|pair| pair.wanted.partition_by.is_none());
        let place = self.wanted.objects.iter().position(|other| other.name == object.name);
        let is_needed = place.is_some_and(|place| self.wanted.objects.iter().any(|other| other.needs.contains(&place)));
        let option = ObjectName::of_table(ObjectKind::TableOption, &object.name.schema, &object.name.table, "");
        is_plain && !is_needed && self.wanted.object(&option).is_none() && !(was_there && index.unique)
    }

    fn alter(&mut self, object: &CatalogObject, old: &CatalogObject) {
        let name = &object.name;
        match (&object.facts, &old.facts) {
            (ObjectFacts::Table(_), _) => {
                let steps = self.pair(name).map(|pair| pair.change(self.wanted, self.present)).unwrap_or_default();
                self.add_steps(name, steps);
                self.detach_partitions(name);
            }
            (ObjectFacts::Labels(wanted), ObjectFacts::Labels(present)) => {
                for (label, sql) in alter_object::labels(name, wanted, present) {
                    self.labels.push((self.changes.len(), label));
                    self.add(name, Effect::Widens, sql);
                }
            }
            (ObjectFacts::Domain { .. }, _) if object.create != old.create => {
                let all = alter_object::domain(name, &object.facts, &old.facts);
                self.add_all(name, effect(object, old), all);
            }
            (ObjectFacts::Sequence(_), _) => {
                let all = alter_object::sequence(object, old);
                self.add_all(name, effect(object, old), all);
            }
            (ObjectFacts::Constraint(wanted), ObjectFacts::Constraint(present)) => {
                if object.create != old.create && is_validation(wanted, present) {
                    let table = qualified(&name.schema, &name.table);
                    let sql = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {}", quote_ident(&name.name));
                    self.add(name, Effect::Adds, sql);
                }
            }
            _ => self.alter_by_statements(object, old),
        }
    }

    /// Takes partitions out whose bounds change, when they have the columns of their parent; they come back one by one.
    fn detach_partitions(&mut self, parent: &ObjectName) {
        for (name, table) in self.present.all_tables() {
            let is_child =
                table.partition_of.as_ref().is_some_and(|(written, _)| self.present.is_type_name(parent, written));
            if is_child && self.pair(name).is_some_and(|pair| pair.new_bounds().is_some()) {
                let sql = format!("ALTER TABLE {} DETACH PARTITION {}", written(parent), written(name));
                self.add(name, Effect::Narrows, sql);
            }
        }
    }

    fn alter_by_statements(&mut self, object: &CatalogObject, old: &CatalogObject) {
        let name = &object.name;
        let all = match name.kind {
            ObjectKind::RowSecurity => alter_object::row_security(&object.create, old),
            ObjectKind::TableOption => {
                // Dropping the index that it names resets it.
                let is_index = |kind| matches!(kind, ObjectKind::Index | ObjectKind::Constraint);
                let mut dropped = self.dropped.places.iter().filter_map(|place| self.present.objects.get(*place));
                let is_lost = dropped.any(|other| {
                    is_index(other.name.kind) && (&other.name.schema, &other.name.table) == (&name.schema, &name.table)
                });
                let old = CatalogObject { create: Vec::new(), ..old.clone() };
                if is_lost { alter_object::table_option(&object.create, &old) } else { return self.option(object) }
            }
            ObjectKind::Function if object.create != old.create => object.create.clone(),
            _ => Vec::new(),
        };
        self.add_all(name, Effect::Replaces, all);
    }

    fn option(&mut self, object: &CatalogObject) {
        if let Some(old) = self.present.object(&object.name) {
            let all = alter_object::table_option(&object.create, old);
            self.add_all(&object.name, Effect::Replaces, all);
        }
    }

    /// Rows of tables that were created again, and the numbers of their identity columns.
    fn put_rows_back(&mut self) {
        for (place, object) in self.present.objects.iter().enumerate() {
            let ObjectFacts::Table(present) = &object.facts else { continue };
            let Some(wanted) = table_of(self.wanted, &object.name).filter(|_| self.dropped.places.contains(&place))
            else {
                continue;
            };
            if !self.is_parent_dropped(present) {
                let columns = quote_list(kept_columns(wanted, present));
                let sql = format!(
                    "INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {}",
                    written(&object.name),
                    qualified("pg_temp", &rows_name(place))
                );
                self.add(&object.name, Effect::Narrows, sql);
            }
            for column in &wanted.columns {
                let Some(identity) = column.identity.as_ref().filter(|_| present.column(&column.name).is_some()) else {
                    continue;
                };
                let limits = (identity.options.least, identity.options.most);
                let sql = next_number(&object.name, &column.name, &identity.sequence, limits);
                self.add(&object.name, Effect::Replaces, sql);
            }
        }
    }

    /// Comments and grants of what was created, and those that differ.
    fn attributes(&mut self, allowed: Allowed) {
        for object in &self.wanted.objects {
            let old = self.present.object(&object.name);
            let kept = old.filter(|_| !self.dropped.has(self.present, &object.name));
            let is_partly_new = self.dropped.columns.get(&object.name).is_some_and(|work| !work.added_again.is_empty());
            let same = kept.filter(|_| !is_partly_new);
            for sql in &object.comments {
                if same.is_none_or(|old| !old.comments.contains(sql)) {
                    self.add_attribute(object, Effect::Replaces, sql.clone());
                }
            }
            for target in kept.into_iter().flat_map(|old| gone_comments(object, old)) {
                self.add_attribute(object, Effect::Drops, format!("{target} IS NULL"));
            }
            let grants = match (allowed.privileges, old) {
                (true, _) => Some(&object.grants),
                (false, old) => old.map(|old| &old.grants),
            };
            for sql in grants.into_iter().flatten() {
                if same.is_none_or(|old| !old.grants.contains(sql)) {
                    self.add_attribute(object, Effect::Replaces, sql.clone());
                }
            }
            if let Some(old) = kept.filter(|_| allowed.privileges) {
                for sql in old.grants.iter().filter(|sql| !object.grants.contains(sql)) {
                    self.add_attribute(object, Effect::Drops, undone(sql));
                }
            }
        }
    }

    /// A comment on an index that is built at the end comes after it.
    fn add_attribute(&mut self, object: &CatalogObject, effect: Effect, sql: String) {
        let words = object.name.words(&self.wanted.schema);
        let is_deferred = self.deferrable.iter().any(|change| change.object == words);
        let list = if is_deferred { &mut self.deferrable } else { &mut self.changes };
        let timing = if is_deferred { Timing::Deferrable } else { Timing::Inside };
        list.push(Change { object: words, effect, timing, sql });
    }

    /// PostgreSQL refuses the use of a new label before it is committed.
    fn time_labels(&mut self) {
        for (place, label) in std::mem::take(&mut self.labels) {
            let literal = quote_literal(&label);
            let mut others = self.changes.iter().enumerate().filter(|(other, _)| *other != place);
            let is_used = others.any(|(_, change)| change.sql.contains(&literal) && !is_new_label(&change.sql));
            if let Some(change) = self.changes.get_mut(place).filter(|_| is_used) {
                change.timing = Timing::Before;
            }
        }
        // A label that stands behind another one that is committed first.
        let first: Vec<String> = self
            .changes
            .iter()
            .filter(|change| change.timing == Timing::Before)
            .map(|change| change.object.clone())
            .collect();
        for change in self.changes.iter_mut().filter(|change| is_new_label(&change.sql)) {
            if first.contains(&change.object) {
                change.timing = Timing::Before;
            }
        }
        self.changes.sort_by_key(|change| change.timing);
    }
}

fn is_new_label(sql: &str) -> bool {
    sql.starts_with("ALTER TYPE ") && sql.contains(" ADD VALUE ")
}

fn written(name: &ObjectName) -> String {
    qualified(&name.schema, &name.name)
}

fn rows_name(place: usize) -> String {
    format!("_turso2neon_rows_{place}")
}

/// Columns whose values are carried over.
fn kept_columns<'a>(wanted: &'a TableDefinition, present: &'a TableDefinition) -> Vec<&'a str> {
    let both = wanted.columns.iter().filter(|column| column.generated.is_none());
    both.filter(|column| present.column(&column.name).is_some()).map(|column| column.name.as_str()).collect()
}

/// What has a comment at present and none in the wanted catalog. That of a column that is gone went with it.
fn gone_comments<'b>(wanted: &CatalogObject, present: &'b CatalogObject) -> Vec<&'b str> {
    let new = comments_of(wanted);
    let old = comments_of(present).into_keys().filter(|target| !new.contains_key(target));
    let is_there = |target: &&str| match &wanted.facts {
        ObjectFacts::Table(table) if target.starts_with("COMMENT ON COLUMN ") => {
            table.columns.iter().any(|column| super::compare::is_last_part(target, &column.name))
        }
        _ => true,
    };
    old.filter(is_there).collect()
}

/// REVOKE for a GRANT, and the other way round.
fn undone(grant: &str) -> String {
    if let Some(rest) = grant.strip_prefix("REVOKE ") {
        return format!("GRANT {}", rest.replacen(" FROM ", " TO ", 1));
    }
    let text = grant.strip_suffix(" WITH GRANT OPTION").unwrap_or(grant);
    let text = text.strip_prefix("GRANT ").unwrap_or(text);
    match text.rsplit_once(" TO ") {
        Some((what, role)) => format!("REVOKE {what} FROM {role}"),
        None => format!("REVOKE {text}"),
    }
}
