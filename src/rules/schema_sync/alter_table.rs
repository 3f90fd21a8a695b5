//! Writes the statements that change a table in place: what is removed first, and what is added and altered later.

use super::{
    alter_column::{self, Step, next_number},
    alter_object::owned_by,
    difference::Effect,
    dropped::ColumnWork,
    words_in_sql::mentions,
};
use crate::model::{
    catalog::{Catalog, ColumnDefinition, ObjectFacts, ObjectName, SequenceDefinition, TableDefinition},
    identifier::{qualified, quote_ident},
};

/// A table on both sides.
pub(super) struct TablePair<'a> {
    pub(super) name: &'a ObjectName,
    pub(super) wanted: &'a TableDefinition,
    pub(super) present: &'a TableDefinition,
    pub(super) work: &'a ColumnWork,
}

impl TablePair<'_> {
    fn alter(&self) -> String {
        format!("ALTER TABLE {}", qualified(&self.name.schema, &self.name.name))
    }

    /// What takes the table from parents that it leaves, before these may be dropped.
    pub(super) fn leave(&self) -> Vec<Step> {
        let alter = self.alter();
        let gone = self.present.inherits.iter().filter(|parent| !self.wanted.inherits.contains(parent));
        gone.map(|parent| (Effect::Narrows, format!("{alter} NO INHERIT {parent}"))).collect()
    }

    /// The parent and the new bounds of a partition whose bounds change.
    pub(super) fn new_bounds(&self) -> Option<(&String, &String)> {
        let (parent, bounds) = self.wanted.partition_of.as_ref()?;
        let (_, old) = self.present.partition_of.as_ref()?;
        (bounds != old).then_some((parent, bounds))
    }

    /// What is removed before functions, types and sequences are.
    pub(super) fn release(&self) -> Vec<Step> {
        let alter = self.alter();
        let mut found = Vec::new();
        for column in &self.present.columns {
            let name = quote_ident(&column.name);
            let wanted = self.wanted.column(&column.name);
            if self.work.gone.contains(&column.name) || self.work.added_again.contains(&column.name) {
                if !column.is_inherited {
                    let is_gone = self.work.gone.contains(&column.name);
                    let effect = if is_gone { Effect::Drops } else { Effect::Replaces };
                    found.push((effect, format!("{alter} DROP COLUMN {name}")));
                }
                continue;
            }
            if self.work.released.contains(&column.name) {
                let is_gone = wanted.is_none_or(|wanted| wanted.default.is_none() && wanted.identity.is_none());
                let effect = if is_gone { Effect::Drops } else { Effect::Replaces };
                found.push((effect, format!("{alter} ALTER COLUMN {name} DROP DEFAULT")));
            }
            if let Some(wanted) = wanted.filter(|wanted| column.identity.is_some() && wanted.identity.is_none()) {
                let effect = if wanted.default.is_none() { Effect::Drops } else { Effect::Replaces };
                found.push((effect, format!("{alter} ALTER COLUMN {name} DROP IDENTITY")));
            }
        }
        found
    }

    /// What is added and altered. `wanted` and `present` are the catalogs of the two definitions.
    pub(super) fn change(&self, wanted: &Catalog, present: &Catalog) -> Vec<Step> {
        let alter = self.alter();
        let mut found = Vec::new();
        if self.wanted.unlogged != self.present.unlogged {
            let word = if self.wanted.unlogged { "UNLOGGED" } else { "LOGGED" };
            found.push((Effect::Replaces, format!("{alter} SET {word}")));
        }
        found.extend(self.options());
        found.extend(self.new_columns(false));
        found.extend(alter_column::types(self.name, self.wanted, self.present, self.work));
        // They may read columns that got another type.
        found.extend(self.new_columns(true));
        for (new, old) in self.kept_columns() {
            found.extend(alter_column::rest(self.name, new, old, self.work));
        }
        found.extend(self.settings(present));
        for parent in self.new_parents() {
            found.push((Effect::Adds, format!("{alter} INHERIT {parent}")));
        }
        if let Some((parent, bounds)) = self.new_bounds() {
            let child = qualified(&self.name.schema, &self.name.name);
            found.push((Effect::Narrows, format!("ALTER TABLE {parent} ATTACH PARTITION {child} {bounds}")));
        }
        found.extend(self.sequences(wanted, present));
        found
    }

    fn new_columns(&self, generated: bool) -> Vec<Step> {
        let has_new_parent = self.new_parents().next().is_some();
        let columns = self.wanted.columns.iter().filter(|column| {
            let is_missing =
                self.present.column(&column.name).is_none() || self.work.added_again.contains(&column.name);
            is_missing && column.generated.is_some() == generated && (!column.is_inherited || has_new_parent)
        });
        columns.map(|column| (Effect::Adds, format!("{} ADD COLUMN {}", self.alter(), column.sql()))).collect()
    }

    fn new_parents(&self) -> impl Iterator<Item = &String> {
        self.wanted.inherits.iter().filter(|parent| !self.present.inherits.contains(parent))
    }

    fn kept_columns(&self) -> impl Iterator<Item = (&ColumnDefinition, &ColumnDefinition)> {
        let both = self.wanted.columns.iter().filter_map(|new| Some((new, self.present.column(&new.name)?)));
        both.filter(|(new, _)| !self.work.added_again.contains(&new.name))
    }

    fn options(&self) -> Vec<Step> {
        let alter = self.alter();
        let key = |option: &str| option.split_once('=').map_or(option, |(key, _)| key).to_owned();
        let keys: Vec<String> = self.wanted.options.iter().map(|option| key(option)).collect();
        let gone: Vec<String> =
            self.present.options.iter().map(|option| key(option)).filter(|key| !keys.contains(key)).collect();
        let new: Vec<&str> = self
            .wanted
            .options
            .iter()
            .filter(|option| !self.present.options.contains(option))
            .map(String::as_str)
            .collect();
        let mut found = Vec::new();
        if !gone.is_empty() {
            found.push((Effect::Replaces, format!("{alter} RESET ({})", gone.join(", "))));
        }
        if !new.is_empty() {
            found.push((Effect::Replaces, format!("{alter} SET ({})", new.join(", "))));
        }
        found
    }

    /// Storage, compression and statistics targets of columns.
    fn settings(&self, present: &Catalog) -> Vec<Step> {
        let mut found = Vec::new();
        for old in &self.present.settings {
            let Some((head, words)) = setting(old) else { continue };
            let is_set = self.wanted.settings.iter().filter_map(|new| setting(new)).any(|new| {
                new.0 == head && new.1.split(' ').next() == words.split(' ').next() && !words.starts_with('(')
            });
            let column = self.present.columns.iter().find(|column| mentions(head, &column.name));
            let stays = column
                .and_then(|column| self.wanted.column(&column.name))
                .filter(|column| !self.work.added_again.contains(&column.name) && mentions(head, &column.name));
            if is_set || self.wanted.settings.contains(old) {
                continue;
            }
            if let Some(column) = stays {
                found.push((Effect::Replaces, reset(head, words, &column.data_type, present.version)));
            }
        }
        for new in &self.wanted.settings {
            let is_lost = self
                .work
                .added_again
                .iter()
                .chain(&self.work.retyped)
                .any(|column| setting(new).is_some_and(|(head, _)| mentions(head, column)));
            if is_lost || !self.present.settings.contains(new) {
                found.push((Effect::Replaces, new.clone()));
            }
        }
        found
    }

    /// Sequences that columns of this table own.
    fn sequences(&self, wanted: &Catalog, present: &Catalog) -> Vec<Step> {
        let mut found = Vec::new();
        for (name, sequence, column) in owned(wanted, self.name) {
            let old = present.object(name).map(|object| &object.facts);
            let is_owned = matches!(old, Some(ObjectFacts::Sequence(old)) if old.owner == sequence.owner);
            if !is_owned {
                found.push((Effect::Replaces, owned_by(name, sequence)));
            }
            if old.is_none() && self.present.column(column).is_some() && sequence.increment > 0 {
                let limits = (sequence.least, sequence.most);
                found.push((Effect::Replaces, next_number(self.name, column, &name.name, limits)));
            }
        }
        found
    }
}

/// The sequences that columns of a table own.
pub(super) fn owned<'a>(
    catalog: &'a Catalog,
    table: &'a ObjectName,
) -> impl Iterator<Item = (&'a ObjectName, &'a SequenceDefinition, &'a String)> {
    catalog.objects.iter().filter_map(move |object| match &object.facts {
        ObjectFacts::Sequence(sequence) => {
            let (owner, column) = sequence.owner.as_ref()?;
            let is_owner = *owner == table.name && object.name.schema == table.schema;
            is_owner.then_some((&object.name, sequence, column))
        }
        _ => None,
    })
}

/// A statement that sets something of a column, cut behind the column.
fn setting(statement: &str) -> Option<(&str, &str)> {
    let at = [" SET STORAGE ", " SET COMPRESSION ", " SET STATISTICS ", " SET ("];
    let at = at.iter().find_map(|words| statement.rfind(words))?;
    Some((statement.get(..at)?, statement.get(at + " SET ".len()..)?))
}

fn reset(head: &str, words: &str, data_type: &str, version: i32) -> String {
    if words.starts_with("STORAGE") {
        let usual = match data_type {
            _ if version >= 160_000 => "DEFAULT",
            name if name.starts_with("numeric") => "MAIN",
            _ => "EXTENDED",
        };
        return format!("{head} SET STORAGE {usual}");
    }
    if words.starts_with("COMPRESSION") {
        return format!("{head} SET COMPRESSION default");
    }
    if words.starts_with("STATISTICS") {
        return format!("{head} SET STATISTICS -1");
    }
    let options = words.trim_start_matches('(').trim_end_matches(')').split(',');
    let keys: Vec<&str> = options.map(|option| option.split_once('=').map_or(option, |(key, _)| key).trim()).collect();
    format!("{head} RESET ({})", keys.join(", "))
}
