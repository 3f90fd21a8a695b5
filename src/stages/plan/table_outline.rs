//! Outlines a table as declared and configured, before its values are known, and what to look for in these.

use std::collections::{BTreeMap, BTreeSet};

use super::override_resolution::{ResolvedOverride, ResolvedOverrides};
use crate::{
    model::{
        Conversion, PgType,
        column_profile::ColumnProfile,
        conversion_plan::{ExistingReading, RowAddress},
        identifier::quote_ident,
        source_schema::{IndexKey, SourceColumn, SourceSchema, SourceTable, TableKind},
    },
    rules::{
        constraints,
        type_choice::{self, ColumnInput, ColumnRole, declared_type, value_check},
        value_shape::TextShape,
    },
    sqlite::{
        profile::{Candidate, ColumnScan, TableScan},
        table_rows::TableQuery,
    },
};

/// How many columns a result may have (SQLite "Limits", section 3).
const RESULT_COLUMNS_MOST: usize = 2000;

/// A table without values yet.
pub(super) struct TableOutline<'a> {
    pub(super) source: &'a SourceTable,
    pub(super) address: RowAddress,
    pub(super) columns: Vec<ColumnOutline<'a>>,
}

/// A column without values yet.
pub(super) struct ColumnOutline<'a> {
    pub(super) source: &'a SourceColumn,
    pub(super) role: ColumnRole,
    pub(super) decision: Option<&'a ResolvedOverride>,
    /// The type that the configuration asks for, by name or by what it says about values that don't fit.
    pub(super) requested: Option<PgType>,
    /// A CHECK says that it holds JSON.
    pub(super) checked_json: bool,
}

/// The tables that are planned, in the schema's order.
pub(super) fn outlines<'a>(
    schema: &'a SourceSchema,
    decisions: &'a ResolvedOverrides,
    vector_extension: bool,
) -> Vec<TableOutline<'a>> {
    let referenced = referenced_columns(schema);
    let planned = schema.tables.iter().enumerate().zip(&decisions.selected).filter(|(_, selected)| **selected);
    let outline =
        |(position, source)| outline(position, source, decisions, &referenced).with_requested_types(vector_extension);
    planned.map(|(found, _)| outline(found)).collect()
}

fn outline<'a>(
    position: usize,
    source: &'a SourceTable,
    decisions: &'a ResolvedOverrides,
    referenced: &BTreeSet<(String, String)>,
) -> TableOutline<'a> {
    let roles = roles(source, referenced);
    let visible = source.columns.iter().enumerate().filter(|(_, column)| !column.hidden);
    let columns = visible.map(|(at, column)| ColumnOutline {
        source: column,
        role: roles.get(&column.name.to_ascii_lowercase()).copied().unwrap_or(ColumnRole::Plain),
        decision: decisions.columns.get(&(position, at)),
        requested: None,
        checked_json: source.checks.iter().any(|check| {
            let text = check.expression.to_ascii_lowercase();
            text.contains("json_valid") && text.contains(&column.name.to_ascii_lowercase())
        }),
    });
    let address = match (&source.kind, &source.rowid_name) {
        (TableKind::Rowid, Some(name)) => RowAddress::Rowid(name.clone()),
        (TableKind::WithoutRowid, _) => RowAddress::PrimaryKey,
        // Columns can hide all names of the rowid.
        (TableKind::Rowid, None) | (TableKind::Virtual { .. }, _) => RowAddress::Ordinal,
    };
    TableOutline { source, address, columns: columns.collect() }
}

/// Columns that foreign keys refer to: table and column in lower case.
fn referenced_columns(schema: &SourceSchema) -> BTreeSet<(String, String)> {
    let keys = schema.tables.iter().flat_map(|table| &table.foreign_keys);
    let references = keys.filter_map(|key| constraints::resolve(schema, key).ok());
    references
        .flat_map(|reference| {
            let table = reference.parent.name.to_ascii_lowercase();
            reference.columns.into_iter().map(move |column| (table.clone(), column.to_ascii_lowercase()))
        })
        .collect()
}

/// What each column is to its table, by its name in lower case.
fn roles(source: &SourceTable, referenced: &BTreeSet<(String, String)>) -> BTreeMap<String, ColumnRole> {
    let table = source.name.to_ascii_lowercase();
    let mut roles: BTreeMap<String, ColumnRole> = BTreeMap::new();
    let mut raise = |name: &str, role: ColumnRole| {
        let known = roles.entry(name.to_ascii_lowercase()).or_insert(role);
        *known = role.max(*known);
    };
    for index in &source.indexes {
        let role = if index.unique { ColumnRole::Key } else { ColumnRole::Indexed };
        for key in &index.columns {
            if let IndexKey::Column(name) = &key.key {
                raise(name, role);
            }
        }
    }
    source.primary_key.iter().for_each(|name| raise(name, ColumnRole::Key));
    source.foreign_keys.iter().flat_map(|key| &key.columns).for_each(|name| raise(name, ColumnRole::Key));
    referenced.iter().filter(|(of, _)| *of == table).for_each(|(_, name)| raise(name, ColumnRole::Key));
    source.rowid_alias.iter().for_each(|name| raise(name, ColumnRole::RowidAlias));
    roles
}

impl TableOutline<'_> {
    /// What the configuration asks for: a type that values may be kept from is the one that the declaration promises.
    fn with_requested_types(mut self, vector_extension: bool) -> Self {
        let nothing = ColumnProfile::default();
        let requested = |column: &ColumnOutline<'_>| {
            let decision = column.decision?;
            let named = decision.pg_type.clone();
            named.or_else(|| {
                decision.exceptions.off_type?;
                type_choice::promised(&subject(&self, column, &nothing, vector_extension))
            })
        };
        let requested: Vec<Option<PgType>> = self.columns.iter().map(requested).collect();
        for (column, requested) in self.columns.iter_mut().zip(requested) {
            column.requested = requested;
        }
        self
    }

    /// What to read and to look for.
    pub(super) fn scan(&self) -> TableScan {
        self.scan_columns(self.columns.iter().map(|column| (column.source.name.as_str(), column.scan())).collect())
    }

    /// The same for these columns. One column may be among them several times.
    pub(super) fn scan_columns(&self, planned: Vec<(&str, ColumnScan)>) -> TableScan {
        let table = quote_ident(&self.source.name);
        let names: Vec<String> = planned.iter().map(|(name, _)| (*name).to_owned()).collect();
        let columns = names.iter().map(|name| format!("t.{}", quote_ident(name)));
        // A table with as many columns as a result may have has no place for the rowid.
        let has_room = planned.len() < RESULT_COLUMNS_MOST;
        let rowid = self.address.rowid_name().filter(|_| has_room).map(|name| format!("t.{name}"));
        let list = rowid.iter().cloned().chain(columns).collect::<Vec<_>>().join(", ");
        // An index of a module that can't be read (libSQL's vector index) must not answer for the table.
        let hint = if self.address == RowAddress::Ordinal { "" } else { " NOT INDEXED" };
        let every = format!("SELECT {list} FROM {table} AS t{hint}");
        let from_rowid = rowid.as_ref().map(|rowid| format!("{every} WHERE {rowid} >= ?1 ORDER BY {rowid}"));
        let bounds = rowid.map(|rowid| {
            format!(
                "SELECT (SELECT min({rowid}) FROM {table} AS t{hint}), (SELECT max({rowid}) FROM {table} AS t{hint})"
            )
        });
        let query = TableQuery { table: self.source.name.clone(), columns: names, every, from_rowid };
        TableScan { query, bounds, columns: planned.into_iter().map(|(_, scan)| scan).collect() }
    }
}

impl ColumnOutline<'_> {
    pub(super) fn scan(&self) -> ColumnScan {
        let affinity = self.source.affinity;
        let mut wanted = declared_type::of(&self.source.declared, affinity).wanted(affinity);
        if self.checked_json {
            wanted.text = wanted.text.or(Some(TextShape::Json));
        }
        wanted.whole_texts = self.role == ColumnRole::Key;
        let empty_as_null = self.decision.is_some_and(|decision| decision.exceptions.empty_as_null);
        ColumnScan { wanted, candidates: self.candidates(), empty_as_null }
    }

    /// The conversions that could fill the type which the configuration asks for.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let Some(pg_type) = &self.requested else { return Vec::new() };
        let (zone, list) = self.decision.map(|decision| (decision.zone, decision.list)).unwrap_or_default();
        if zone.is_some() || list.is_some() {
            let conversion = Conversion::ExistingType(ExistingReading { zone, list, ..ExistingReading::exact() });
            return vec![Candidate { pg_type: pg_type.clone(), conversion }];
        }
        let conversions = value_check::candidates(pg_type, self.decision.and_then(|decision| decision.reading));
        conversions.into_iter().map(|conversion| Candidate { pg_type: pg_type.clone(), conversion }).collect()
    }
}

/// Whether a table has the columns that Core Data gives to each.
pub(super) fn is_core_data(table: &SourceTable) -> bool {
    ["Z_PK", "Z_ENT", "Z_OPT"]
        .iter()
        .all(|name| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
}

pub(super) fn subject<'s>(
    outline: &'s TableOutline<'_>,
    column: &'s ColumnOutline<'_>,
    profile: &'s ColumnProfile,
    vector_extension: bool,
) -> ColumnInput<'s> {
    ColumnInput {
        table: &outline.source.name,
        column: column.source,
        profile,
        role: column.role,
        address: &outline.address,
        vector_extension,
        bad_text: column.decision.and_then(|decision| decision.bad_text),
        core_data: is_core_data(outline.source),
    }
}
