//! Gives columns of a foreign key one type, and checks that different keys stay different
//! (docs/conversion-rules.md, section 1.4, steps 1 and 2).

use rusqlite::Connection;

use super::table_draft::{TableDraft, planned_column};
use crate::{
    error::{Kind, Result},
    model::{
        Conversion, Finding, FindingCode, PgType, Severity,
        conversion::Merging,
        conversion_plan::{ObjectPlan, Outcome, RowAddress},
        source_schema::{IndexKey, IndexOrigin, SourceSchema, SourceTable, TableKind},
    },
    rules::{
        constraints,
        type_choice::{
            self, ColumnRole,
            fk_types::{self, ColumnPosition, ForeignKeyLink, LinkedColumn},
        },
        value_shape::word,
    },
    sqlite::profile::{Candidate, KeyScan, merged_keys},
};

/// A uniqueness that the values don't have in PostgreSQL.
pub(super) struct DroppedKey {
    /// The source table.
    pub(super) table: String,
    /// The index, or none for the primary key of a WITHOUT ROWID table.
    pub(super) index: Option<String>,
    /// What becomes of it.
    pub(super) object: ObjectPlan,
    /// What the user should know.
    pub(super) finding: Finding,
}

/// A key of one draft.
struct UniqueKey<'a> {
    draft: usize,
    columns: Vec<usize>,
    index: Option<&'a str>,
    is_primary: bool,
    predicate: Option<&'a str>,
    lost: bool,
}

/// Makes foreign keys comparable and keys injective; returns the keys that can't be. Types only move towards text, so
/// that it comes to an end.
///
/// # Errors
/// `SourceInvalid` if the dump can't be read.
pub(super) fn reach(
    connection: &Connection,
    schema: &SourceSchema,
    drafts: &mut [TableDraft<'_>],
) -> Result<Vec<DroppedKey>> {
    let links = links(schema, drafts);
    let mut keys = unique_keys(schema, drafts);
    let mut lost = Vec::new();
    loop {
        unify_types(&links, drafts);
        let mut changed = false;
        for key in &mut keys {
            if key.lost || !is_at_risk(key, drafts) {
                continue;
            }
            let twins = merged(connection, key, drafts)?;
            if twins == 0 {
                continue;
            }
            if step_back(key, drafts) {
                changed = true;
            } else {
                key.lost = true;
                lost.extend(report(key, twins, drafts));
            }
        }
        if !changed {
            return Ok(lost);
        }
    }
}

fn links(schema: &SourceSchema, drafts: &[TableDraft<'_>]) -> Vec<ForeignKeyLink> {
    let mut links = Vec::new();
    for table in &schema.tables {
        for key in &table.foreign_keys {
            let Ok(reference) = constraints::resolve(schema, key) else { continue };
            for (child, parent) in key.columns.iter().zip(&reference.columns) {
                let child = planned_column(drafts, &table.name, child);
                let parent = planned_column(drafts, &reference.parent.name, parent);
                if let (Some(child), Some(parent)) = (child, parent) {
                    links.push(ForeignKeyLink { child, parent });
                }
            }
        }
    }
    links
}

fn unify_types(links: &[ForeignKeyLink], drafts: &mut [TableDraft<'_>]) {
    for class in fk_types::classes(links) {
        let members: Vec<LinkedColumn> = class.iter().filter_map(|position| member(*position, links, drafts)).collect();
        let Some(pg_type) = fk_types::common_type(&members) else { continue };
        for (table, column) in class {
            let Some(draft) = drafts.get_mut(table) else { continue };
            let fixed = is_fixed(draft, column);
            let agrees =
                draft.columns.get(column).is_some_and(|found| fk_types::agree(&found.choice.pg_type, &pg_type));
            if !fixed && !agrees {
                draft.rechoose(column, |subject| {
                    let rule = format!("{pg_type}, the type of the columns that its foreign key compares");
                    let mut choice = type_choice::retyped(subject, &pg_type, rule)?;
                    if subject.profile.values() > 0 {
                        let message = format!(
                            "loaded as {pg_type}, because a foreign key compares it with a column of that type"
                        );
                        choice.findings.push(subject.finding(FindingCode::TypeWidened, Severity::Warning, message));
                    }
                    Some(choice)
                });
            }
        }
    }
}

fn member(position: ColumnPosition, links: &[ForeignKeyLink], drafts: &[TableDraft<'_>]) -> Option<LinkedColumn> {
    let draft = drafts.get(position.0)?;
    let column = draft.columns.get(position.1)?;
    Some(LinkedColumn {
        pg_type: column.choice.pg_type.clone(),
        has_values: column.profile.values() > 0,
        is_parent: links.iter().any(|link| link.parent == position),
        is_fixed: is_fixed(draft, position.1),
        needs_bytes: column.choice.pg_type == PgType::Bytea && column.profile.texts_not_storable() > 0,
    })
}

fn is_fixed(draft: &TableDraft<'_>, column: usize) -> bool {
    draft
        .outline
        .columns
        .get(column)
        .is_some_and(|column| column.role == ColumnRole::RowidAlias || column.requested.is_some())
}

fn unique_keys<'a>(schema: &'a SourceSchema, drafts: &[TableDraft<'_>]) -> Vec<UniqueKey<'a>> {
    let mut found = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        let Some(source) = schema.tables.iter().find(|table| table.name == draft.outline.source.name) else { continue };
        let positions =
            |names: &[&str]| names.iter().map(|name| draft.column_named(name)).collect::<Option<Vec<usize>>>();
        for index in source.indexes.iter().filter(|index| index.unique) {
            let names = index.columns.iter().map(|column| match &column.key {
                IndexKey::Column(name) => Some(name.as_str()),
                IndexKey::Rowid | IndexKey::Expression(_) => None,
            });
            let Some(columns) = names.collect::<Option<Vec<&str>>>().and_then(|names| positions(&names)) else {
                continue;
            };
            found.push(UniqueKey {
                draft: at,
                columns,
                index: Some(&index.name),
                is_primary: index.origin == IndexOrigin::PrimaryKey,
                predicate: index.predicate.as_deref(),
                lost: false,
            });
        }
        let has_index = source.indexes.iter().any(|index| index.origin == IndexOrigin::PrimaryKey);
        let names: Vec<&str> = source.primary_key.iter().map(String::as_str).collect();
        if !has_index
            && !names.is_empty()
            && source.rowid_alias.is_none()
            && let Some(columns) = positions(&names)
        {
            let key = UniqueKey { draft: at, columns, index: None, is_primary: true, predicate: None, lost: false };
            found.push(key);
        }
    }
    found
}

/// Whether two different values of a column could become the same in PostgreSQL. Numbers that SQLite distinguishes stay
/// apart except where digits are cut to the shortest.
fn is_risky(draft: &TableDraft<'_>, column: usize) -> bool {
    let Some(column) = draft.columns.get(column) else { return false };
    let profile = &column.profile;
    match column.choice.conversion.descriptor().merging {
        Merging::Never => false,
        // The shapes were not looked for under a type of the configuration, so that the counts may be missing.
        Merging::Spellings => true,
        Merging::TimestampSpellings => {
            profile.texts_respelled > 0
                || profile.shape(word::DATE) > 0
                || profile.shape(word::TIMESTAMP) < profile.texts
        }
        Merging::SeveralClasses => profile.classes().len() > 1,
        Merging::ShortestDigits => profile.integers_beyond_double > 0 && profile.reals > 0,
    }
}

fn is_at_risk(key: &UniqueKey<'_>, drafts: &[TableDraft<'_>]) -> bool {
    drafts.get(key.draft).is_some_and(|draft| key.columns.iter().any(|column| is_risky(draft, *column)))
}

fn merged(connection: &Connection, key: &UniqueKey<'_>, drafts: &[TableDraft<'_>]) -> Result<u64> {
    let Some(draft) = drafts.get(key.draft) else { return Ok(0) };
    let columns = key.columns.iter().filter_map(|at| {
        let column = draft.columns.get(*at)?;
        let candidate = Candidate { pg_type: column.choice.pg_type.clone(), conversion: column.choice.conversion };
        Some((draft.outline.columns.get(*at)?.source.name.as_str(), candidate))
    });
    let scan = KeyScan {
        table: &draft.outline.source.name,
        columns: columns.collect(),
        predicate: key.predicate,
        is_virtual: draft.outline.address == RowAddress::Ordinal,
    };
    match merged_keys(connection, &scan) {
        // A predicate that only the application can compute is not carried, and neither is its index.
        Err(error) if key.predicate.is_some() && error.kind() == Kind::SourceInvalid => Ok(0),
        counted => counted,
    }
}

/// Gives the risky columns of a key the type text; false if there is none that can step back.
fn step_back(key: &UniqueKey<'_>, drafts: &mut [TableDraft<'_>]) -> bool {
    let Some(draft) = drafts.get_mut(key.draft) else { return false };
    let mut changed = false;
    for column in &key.columns {
        let is_text = draft
            .columns
            .get(*column)
            .is_none_or(|found| matches!(found.choice.conversion, Conversion::Text { .. } | Conversion::Bytea));
        if is_text || is_fixed(draft, *column) || !is_risky(draft, *column) {
            continue;
        }
        changed |= draft.rechoose(*column, |subject| {
            let rule = "text, because different keys would become equal under the natural type".to_owned();
            let mut choice = type_choice::retyped(subject, &PgType::Text, rule)?;
            let message =
                "loaded as text: different keys would be equal under the declared type, so that rows would be refused";
            choice.findings.push(subject.finding(FindingCode::TypeWidened, Severity::Warning, message));
            Some(choice)
        });
    }
    changed
}

/// A key whose values differ only in what PostgreSQL's types don't show.
fn report(key: &UniqueKey<'_>, twins: u64, drafts: &[TableDraft<'_>]) -> Option<DroppedKey> {
    let draft = drafts.get(key.draft)?;
    let source: &SourceTable = draft.outline.source;
    let names = key.columns.iter().filter_map(|at| draft.outline.columns.get(*at));
    let names = names.map(|column| column.source.name.as_str()).collect::<Vec<_>>().join(", ");
    let kind = match (key.is_primary, source.indexes.iter().find(|index| Some(index.name.as_str()) == key.index)) {
        (true, _) => "primary key",
        (false, Some(index)) if index.origin == IndexOrigin::Unique => "unique",
        (false, _) => "index",
    };
    let keys = if twins == 1 { "1 key has".to_owned() } else { format!("{twins} keys have") };
    let reason =
        format!("{keys} a twin that differs only in storage class or spelling, which PostgreSQL doesn't distinguish");
    // Without rowid the key is all that addresses a row of the off-type table.
    let severity = if source.kind == TableKind::WithoutRowid && key.is_primary {
        Severity::Refused
    } else {
        Severity::NeedsDecision
    };
    let mut finding =
        Finding::new(FindingCode::KeysMerged, severity, format!("the {kind} on {names} is not carried: {reason}"))
            .at_table(&source.name)
            .at_column(names.clone())
            .counting(twins);
    if severity == Severity::NeedsDecision {
        finding = finding.choice(format!("--accept keys-merged@{}", source.name));
    }
    Some(DroppedKey {
        table: source.name.clone(),
        index: key.index.map(str::to_owned),
        object: ObjectPlan {
            kind: kind.to_owned(),
            source: key.index.unwrap_or("PRIMARY KEY").to_owned(),
            table: source.name.clone(),
            outcome: Outcome::NotCarried,
            reason,
        },
        finding,
    })
}
