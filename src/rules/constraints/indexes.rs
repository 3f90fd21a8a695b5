//! Plans indexes (docs/conversion-rules.md, section 6.2). An index without its predicate or with another key would be
//! wrong, so that one whose text can't be translated is left out as a whole.

use super::{
    ConstraintContext, TableContext,
    index_key_size::{self, KeyPart, Shortening},
    unique, vector,
};
use crate::{
    model::{
        ColumnPlan, Finding, FindingCode, PgType, Severity,
        conversion_plan::{IndexPlan, Outcome},
        identifier::{quote_ident, quote_literal},
        source_schema::{IndexKey, IndexOrigin, SourceIndex, SourceIndexColumn},
    },
    rules::expression::{self, NameScope},
};

/// Indexes that no constraint made.
pub(super) fn created(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>) {
    let source = seat.source;
    for index in source.indexes.iter().filter(|index| index.origin == IndexOrigin::Created) {
        let translated = translate(work, seat, index);
        match translated {
            Ok(form) => carry(work, seat, index, form),
            Err(reason) if index.unique => unique::dropped(work, seat, "index", &index.name, &reason),
            Err(reason) => {
                work.object(seat.position, "index", &index.name, &source.name, Outcome::NotCarried, &reason);
                let message = format!("queries lose this index: {reason}");
                let mut finding = Finding::new(FindingCode::IndexNotCarried, Severity::Warning, message);
                finding.sql.clone_from(&index.sql);
                work.find(finding.at_table(&source.name).at_column(&index.name));
            }
        }
    }
}

/// An index in PostgreSQL's words.
struct PgIndex {
    method: &'static str,
    keys: Vec<String>,
    predicate: Option<String>,
    /// What is not as it was.
    changes: Vec<&'static str>,
}

fn carry(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>, index: &SourceIndex, form: PgIndex) {
    let name = work.relation(seat, &index.name, &index.name);
    let table = seat.source.name.as_str();
    let outcome = if form.changes.is_empty() { Outcome::Carried } else { Outcome::Translated };
    let reason = form.changes.join("; ");
    work.object(seat.position, "index", &index.name, table, outcome, &reason);
    if !form.changes.is_empty() {
        let mut finding = Finding::new(FindingCode::IndexChanged, Severity::Warning, reason);
        finding.sql.clone_from(&index.sql);
        work.find(finding.at_table(table).at_column(&index.name));
    }
    seat.plan.indexes.push(IndexPlan {
        name,
        source: index.name.clone(),
        unique: index.unique,
        method: form.method.to_owned(),
        keys: form.keys,
        predicate: form.predicate,
    });
}

fn translate(work: &ConstraintContext<'_>, seat: &TableContext<'_>, index: &SourceIndex) -> Result<PgIndex, String> {
    let scope = NameScope::new(seat.plan, seat.source, &work.schema.encoding);
    let predicate = match &index.predicate {
        Some(sql) => {
            let condition = scope.condition(sql);
            Some(condition.map_err(|failure| format!("its predicate can't be translated: {}", failure.reason))?.sql)
        }
        None => None,
    };
    if let Some(key) = vector_key(seat, index)? {
        return Ok(PgIndex { method: "hnsw", keys: vec![key], predicate, changes: Vec::new() });
    }
    let mut parts = Vec::new();
    let mut changes = Vec::new();
    for column in &index.columns {
        let key = key(&scope, seat, index, column)?;
        changes.extend(key.change);
        let (bytes, short) = (bytes(seat, &key), short(seat, &key));
        parts.push(KeyPart { sql: key.sql, order: key.order, bytes, short });
    }
    changes.dedup();
    let fitted = index_key_size::fit(&parts, index.unique).map_err(str::to_owned)?;
    changes.extend(fitted.change);
    Ok(PgIndex { method: fitted.method, keys: fitted.keys, predicate, changes })
}

/// One key part.
struct PgIndexKey {
    sql: String,
    order: &'static str,
    change: Option<&'static str>,
}

fn key(
    scope: &NameScope<'_>,
    seat: &TableContext<'_>,
    index: &SourceIndex,
    key: &SourceIndexColumn,
) -> Result<PgIndexKey, String> {
    let (sql, nullable, change) = match &key.key {
        IndexKey::Column(name) => {
            let column = seat.column(name).ok_or_else(|| "one of its columns is left out".to_owned())?;
            of_column(column, key.collation.as_deref())?
        }
        IndexKey::Rowid => {
            let alias = seat.source.rowid_alias.as_deref().and_then(|name| seat.column(name));
            let column = alias.ok_or_else(|| "it indexes the rowid, which is no column".to_owned())?;
            (quote_ident(&column.name), false, None)
        }
        IndexKey::Expression(sql) => of_expression(scope, seat, index, sql, key.collation.as_deref())?,
    };
    // SQLite has NULL below everything; where NULL can't occur the plain form serves every ORDER BY.
    let order = match (key.descending, nullable) {
        (false, true) => " NULLS FIRST",
        (false, false) => "",
        (true, true) => " DESC NULLS LAST",
        (true, false) => " DESC",
    };
    Ok(PgIndexKey { sql, order, change })
}

type KeyForm = (String, bool, Option<&'static str>);

fn of_column(column: &ColumnPlan, collation: Option<&str>) -> Result<KeyForm, String> {
    index_key_size::is_comparable(&column.pg_type)?;
    let nullable = !column.not_null;
    match (unique::folding(collation, column), collation) {
        (Some(folded), _) => {
            Ok((folded, nullable, Some("it indexes folded values, as PostgreSQL has no such collation")))
        }
        (None, Some("NOCASE" | "RTRIM") | None) => Ok((quote_ident(&column.name), nullable, None)),
        (None, Some(_)) if !column.pg_type.is_text() => Ok((quote_ident(&column.name), nullable, None)),
        (None, Some(_)) => {
            Ok((quote_ident(&column.name), nullable, Some("it ordered under a collation of the application's own")))
        }
    }
}

fn of_expression(
    scope: &NameScope<'_>,
    seat: &TableContext<'_>,
    index: &SourceIndex,
    sql: &str,
    collation: Option<&str>,
) -> Result<KeyForm, String> {
    match scope.key(sql, collation) {
        Ok(key) => Ok((format!("({key})"), true, None)),
        Err(failure) => match json_path(seat, index, sql) {
            Some(key) => Ok((format!("({key})"), true, Some("it indexes the text that stands in the JSON document"))),
            None => Err(format!("its expression can't be translated: {}", failure.reason)),
        },
    }
}

/// `json_extract(column, '$.a.b')` as `column #>> '{a,b}'`: numbers become text, which an index may do and a
/// uniqueness must not.
fn json_path(seat: &TableContext<'_>, index: &SourceIndex, sql: &str) -> Option<String> {
    let call = expression::call(sql).filter(|call| call.name == "json_extract" && !index.unique)?;
    let ([column], [path]) = (call.columns.as_slice(), call.texts.as_slice()) else { return None };
    let column = seat.column(column).filter(|column| matches!(column.pg_type, PgType::Json | PgType::Jsonb))?;
    let keys: Vec<&str> = path.strip_prefix("$.")?.split('.').collect();
    let plain = |key: &&str| !key.is_empty() && key.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
    let array = quote_literal(&format!("{{{}}}", keys.join(",")));
    keys.iter().all(plain).then(|| format!("{} #>> {array}", quote_ident(&column.name)))
}

fn vector_key(seat: &TableContext<'_>, index: &SourceIndex) -> Result<Option<String>, String> {
    let [SourceIndexColumn { key: IndexKey::Expression(sql), .. }] = index.columns.as_slice() else { return Ok(None) };
    let Some(call) = expression::call(sql).filter(vector::is_vector_index) else { return Ok(None) };
    let column = vector::column(&call).and_then(|name| seat.column(name));
    let column = column.ok_or_else(|| "its column is left out".to_owned())?;
    vector::key(&call, column).map(Some).map_err(str::to_owned)
}

fn named<'a>(seat: &'a TableContext<'_>, key: &PgIndexKey) -> impl Iterator<Item = &'a ColumnPlan> {
    let sql = key.sql.clone();
    seat.plan.columns.iter().filter(move |column| sql.contains(&quote_ident(&column.name)))
}

/// The most bytes that a key takes: of all columns that it names.
fn bytes(seat: &TableContext<'_>, key: &PgIndexKey) -> u64 {
    named(seat, key).map(index_key_size::widest).sum()
}

/// How a long key is made short. An expression over texts is taken for a text; PostgreSQL says if it isn't.
fn short(seat: &TableContext<'_>, key: &PgIndexKey) -> Shortening {
    let all: Vec<Shortening> =
        named(seat, key).map(|column| index_key_size::part(column, String::new(), "").short).collect();
    match all.as_slice() {
        [only] => *only,
        [Shortening::Text, rest @ ..] if rest.iter().all(|short| *short == Shortening::Text) => Shortening::Text,
        _ => Shortening::No,
    }
}
